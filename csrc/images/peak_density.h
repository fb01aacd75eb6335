// Histogram of all peak positions of a processed centroid file on the ln(m/z) axis, with its local background.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "images/peak_width.h"
#include "io/plane.h"

namespace imn::images {

// Cells of equal width in ppm. Memory does not depend on the number of peaks: at most 64 MiB.
class PeakDensity {
 public:
  // Counts the non-zero peaks of every spectrum. If `paired_within` > 0, counts only peaks with another peak of the
  // same spectrum within this distance (ppm). `finest` is the width of a cell in ppm; cells are wider if there would be
  // too many.
  PeakDensity(const io::Plane& plane, double finest, double paired_within, int threads,
              const std::atomic<bool>* cancel);

  std::int64_t cells() const { return static_cast<std::int64_t>(below_.size()) - 1; }
  double cell_ppm() const { return cell_; }
  // Converts a cell to the position (1e6 * ln(m/z)) of its centre, and back.
  double position(double cell) const { return origin_ + (cell + 0.5) * cell_; }
  std::int64_t cell_of(double position) const { return static_cast<std::int64_t>((position - origin_) / cell_); }
  // Peaks in the cells [first, last), clipped to the range.
  double count(std::int64_t first, std::int64_t last) const;
  double peaks() const { return static_cast<double>(below_.back()); }

  // Estimates the random peaks per cell: the larger of the level of the cell's segment and that of its close
  // neighbourhood, both excluding outstanding counts. `width` is the standard deviation of a channel.
  void find_background(const PeakWidth& width, int threads);
  double background(std::int64_t cell, double sd_cells) const;

 private:
  double origin_ = 0.0;
  double cell_ = 1.0;
  std::vector<std::uint64_t> below_;  // peaks below each cell border
  std::int64_t segment_ = 1;          // cells
  std::vector<double> level_;         // peaks per cell in each segment
};

}  // namespace imn::images
