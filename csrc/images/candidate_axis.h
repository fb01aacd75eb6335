// candidate_axis: finds the m/z channels worth an ion image, and their widths.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "io/plane.h"

namespace imn::images {

enum class AxisKind { automatic, bins, peaks };

struct AxisOptions {
  AxisKind kind = AxisKind::automatic;
  std::optional<double> min_frequency;  // share of spectra that must show a peak; none: chosen from the data
  std::optional<double> ppm;            // half width of a channel of processed centroids; none: estimated
  int threads = 0;
  const std::atomic<bool>* cancel = nullptr;
};

using Evidence = std::map<std::string, std::variant<double, std::string>>;

// Channels ascending in mz; windows [mz_lo, mz_hi] are inclusive. frequency: share of spectra with a non-zero value in
// the window.
struct CandidateAxis {
  std::vector<double> mz, mz_lo, mz_hi, frequency;
  std::string method;              // how the axis was made, for the run record
  std::vector<std::string> notes;  // one line each: decisions against the declaration, why no channel was found
  Evidence evidence;               // the figures that the decisions rest on
};

// An axis without channels has a note that gives the reason.
CandidateAxis candidate_axis(const io::Plane& plane, const AxisOptions& options = {});

}  // namespace imn::images
