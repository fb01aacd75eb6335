// Whether spectra are profiles or lists of peaks, from what the file declares and from the shape of its data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/types.h"

namespace imn::io {

enum class SpectrumShape { unclear, profile, list };

// What a few spectra look like. Shares are means over spectra, 0 where there are too few values to tell.
//
// A profile is sampled: the strongest maxima have neighbours at equal distances on both sides, and these carry part of
// the maximum's height. Peaks in a list have neighbours at unrelated distances, or at the distance of isotopes; bins of
// equal width that were filled from peaks have regular distances but no shape.
struct Sampling {
  double regular_steps = 0.0;    // share of the m/z steps that are about as long as the step before
  double smoothness = 0.0;       // correlation of an intensity with the next one
  double regular_maxima = 0.0;   // share of the strongest maxima with equal distances to both neighbours, but isotopes'
  double shaped_maxima = 0.0;    // of these, share with both neighbours above a fifth of the maximum's height
  double isotope_spacing = 0.0;  // share of the strongest maxima with neighbours at the distance of isotopes
  std::int64_t maxima = 0;       // number looked at
  std::int64_t values = 0;       // of the longest spectrum looked at
  bool whole_numbers = false;    // all m/z are, and there are many different ones

  SpectrumShape shape() const;
};

// Share of maxima at isotope distances above which a file is judged by its isotopes or bins of one mass unit.
inline constexpr double kMostlyIsotopes = 0.5;

enum class DeclaredType { none, profile, centroid, both };

// How spectra are read, and why.
struct TypeDecision {
  SpectrumType type = SpectrumType::centroid;
  DeclaredType declared = DeclaredType::none;
  bool given = false;  // by the caller, whatever the file says
  Sampling sampling;
  std::string warning;  // empty if declaration and data agree
};

// A contradiction is settled in favour of the reading that loses nothing: a list read as a profile would lose its small
// peaks and a processed profile read as a list would become a channel per sample, so both are read as what they look
// like. A continuous profile read as a list is only redundant, and stays what it is declared to be.
TypeDecision decide_type(DeclaredType declared, std::optional<SpectrumType> given, Mode mode, const Sampling& sampling);

const char* to_string(DeclaredType declared);
const char* to_string(SpectrumShape shape);

}  // namespace imn::io
