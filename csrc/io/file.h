// File: an opened imzML file with its ibd file: the spectra, their positions and what the header declares.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/grid.h"
#include "io/header.h"
#include "io/selection.h"
#include "io/spectra.h"
#include "io/types.h"

namespace imn::io {

class File {
 public:
  // Maps and parses the imzML file first, so that an error in it is not reported as a missing ibd file. `path` is
  // UTF-8. Throws FileError.
  static std::shared_ptr<const File> open(const std::string& path, const OpenOptions& options);
  // The same from bytes of the caller.
  static std::shared_ptr<const File> open(const Bytes& imzml, Bytes ibd, const OpenOptions& options);
  // All spectra of a source. Throws FileError.
  static std::shared_ptr<const File> open(std::shared_ptr<const SpectrumSource> source, const OpenOptions& options);
  File(const std::string& path, const OpenOptions& options, Bytes ibd, Header header);
  File(std::shared_ptr<const SpectrumSource> source, const OpenOptions& options, const Header& header);

  const std::string& path() const { return path_; }
  const Spectra& spectra() const { return spectra_; }
  const Grid& grid() const { return grid_; }                                 // of all z planes
  const std::vector<std::int64_t>& raw_coordinates() const { return raw_; }  // (n, 3): as written, 0 where absent
  Duplicates duplicates() const { return duplicates_; }
  // As first_at_position(), -1 for copies that are left out: empty if every pixel has one spectrum.
  std::span<const std::int64_t> first_at_pixel() const { return first_at_pixel_; }
  SpectrumType spectrum_type() const { return decision_.type; }  // declared, overridden or inferred
  const TypeDecision& type_decision() const { return decision_; }
  // Which spectra of the file were read, and what there was to choose from.
  const Selection& selection() const { return selection_; }
  const Declared& declared() const { return declared_; }
  std::optional<std::pair<double, double>> pixel_size_um() const { return pixel_size_; }
  // As Spectra::copies(); found on first use, from when on warnings() tells.
  std::vector<std::int64_t> copies(int threads, const std::atomic<bool>* cancel) const;
  // Grows while spectra are read; one line per kind of problem.
  std::vector<std::string> warnings() const;

 private:
  void finish(Header& header, const OpenOptions& options);
  void take_coordinates(const Header& header);
  void choose_type(const Header& header, const std::optional<SpectrumType>& wanted);
  void leave_out_copies();
  void find_duplicates();
  std::vector<std::string> copies_found() const;

  std::string path_;
  Duplicates duplicates_;
  Selection selection_;
  Spectra spectra_;
  Grid grid_;
  std::vector<std::int64_t> raw_;
  std::vector<std::int64_t> first_at_pixel_;
  Declared declared_;
  TypeDecision decision_;
  std::optional<std::pair<double, double>> pixel_size_;
  std::vector<std::string> warnings_;  // about opening the file
  Copies copies_wanted_;
  mutable std::mutex copies_mutex_;
  mutable std::optional<std::vector<std::int64_t>> copies_;
};

}  // namespace imn::io
