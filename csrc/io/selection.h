// Which spectra of a file are read: one MS level, one polarity, all runs or one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/header.h"
#include "io/types.h"

namespace imn::io {

// Names with numbers of spectra, in the order in which they first occur in the file.
using NamedCounts = std::vector<std::pair<std::string, std::int64_t>>;

struct Selection {
  // Numbers of spectra before the choice that each is about: of the chosen run by MS level (0: not stated), of the
  // chosen run and level by polarity ("unknown": not stated), of the whole file by run.
  std::map<std::int32_t, std::int64_t> ms_levels;
  NamedCounts polarities, runs;
  // Of the spectra that are read.
  NamedCounts filters;
  std::optional<std::int32_t> ms_level;  // none: not stated
  std::optional<Polarity> polarity;

  std::vector<char> keeps;             // by kind: whether it is read; empty: all are
  std::vector<std::int64_t> per_kind;  // number of spectra of each kind in the file
  std::vector<std::uint16_t> run_of;   // by kind: index into runs
  std::vector<std::string> warnings;

  bool wanted(const Header& header, std::size_t spectrum) const {
    return keeps.empty() || keeps[header.kind[spectrum]] != 0;
  }
  bool wanted_kind(std::size_t kind) const { return keeps.empty() || keeps[kind] != 0; }
};

std::string name_of(Polarity polarity);  // "positive", "negative" or "unknown"
// "a (3 spectra), b (1) and c (2)"; long lists are cut.
std::string listed(const NamedCounts& counts);

// Throws FileError where the file holds no spectra of what the options ask for.
Selection select_spectra(const Header& header, const OpenOptions& options, const std::string& path);

}  // namespace imn::io
