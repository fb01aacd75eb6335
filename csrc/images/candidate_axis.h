// candidate_axis: finds the m/z channels worth an ion image, and their widths.
#pragma once

#include <atomic>
#include <optional>
#include <string>
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

// Channels ascending in mz; windows [mz_lo, mz_hi] are inclusive. frequency: share of spectra with a non-zero value in
// the window.
struct CandidateAxis {
  std::vector<double> mz, mz_lo, mz_hi, frequency;
  std::string method;  // how the axis was made, for the run record
};

CandidateAxis candidate_axis(const io::Plane& plane, const AxisOptions& options = {});

}  // namespace imn::images
