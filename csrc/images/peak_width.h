// Estimates from the data how far the centroids of one ion scatter over the section.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "io/plane.h"

namespace imn::images {

// The standard deviation, in ppm, of the positions of one ion's centroids over all spectra (jitter and drift together).
//
// The first estimate is one value for the file and requires no known channels. Peaks of different spectra are compared
// in pairs: those of one ion differ by sqrt(2) standard deviations, those of unrelated ions are spread evenly. The even
// part is subtracted, and the spread of the rest is measured. If nearly all ions are close to another one, as in a
// narrow m/z window, nothing is even; then only peaks that are each other's nearest are compared. Once channels are
// known, the width can be refined as a function of m/z.
class PeakWidth {
 public:
  explicit PeakWidth(const io::Plane& plane, int threads = 0, const std::atomic<bool>* cancel = nullptr);
  explicit PeakWidth(double sd_ppm) : typical_(sd_ppm) {}

  // Replaces the single value with widths at known channels, ascending in position, if there are enough of them:
  // medians over neighbouring channels, interpolated.
  struct Measured {
    double position;
    double sd_ppm;
  };
  void refine(const std::vector<Measured>& channels);

  // position: ln(m/z) in ppm, that is 1e6 * ln(m/z).
  double at(double position) const;
  double typical_ppm() const { return typical_; }
  bool estimated() const { return estimated_; }

 private:
  std::vector<double> knots_;  // positions, ascending
  std::vector<double> sd_;
  double typical_ = kFallbackPpm;
  bool estimated_ = false;

  // Used if no two spectra can be compared: typical of a centroided high-resolution instrument.
  static constexpr double kFallbackPpm = 3.0;
};

}  // namespace imn::images
