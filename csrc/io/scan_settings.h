// What the scan settings of a file declare about its pixels: their number and their size.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/cv_terms.h"
#include "io/xml_events.h"

namespace imn::io {

// A length as written; empty texts where absent.
struct DeclaredLength {
  std::string value, name, unit_accession, unit_name;
};

// One <scanSettings> element, or what a parameter group or another part of the head says about pixels.
struct ScanSettings {
  std::string id;
  std::string max_count_x, max_count_y;
  DeclaredLength pixel_x, pixel_y, dimension_x, dimension_y;

  // Takes the term over if it describes pixels; returns whether it does. A later value replaces an earlier one.
  bool take(Term term, const Attributes& attributes);
  // Fills what is absent here with what `other` states.
  void complete_with(const ScanSettings& other);
  bool empty() const;
};

// The declarations of one file about its pixels, decided.
struct DeclaredPixels {
  std::string max_count_x, max_count_y;                // empty: not declared, or differently in several settings
  std::optional<std::pair<double, double>> size_um;    // width and height; none: not declared, or not to be trusted
  std::optional<std::pair<double, double>> extent_um;  // of the whole section, if stated as a length
  std::vector<std::string> warnings;
};

// `referenced`: ids of the settings that the run, its instrument or its scans refer to, those first that count most.
// The first id that exists decides; several different ones, or none where settings contradict each other, leave the
// pixel size unknown, with a warning.
//
// The unit counts: a pixel size in an unknown unit, in an area, or in a unit whose accession and name differ is
// unknown. Without a unit, the vocabulary's micrometres hold, with two exceptions: 1 is what some writers state if they
// know no size, and the first version of the vocabulary meant an area by a single "pixel size". The extent of the
// section divided by its pixels decides such cases, and stands in for a missing size.
DeclaredPixels decide_pixels(const std::vector<ScanSettings>& settings, const std::vector<std::string>& referenced);

}  // namespace imn::io
