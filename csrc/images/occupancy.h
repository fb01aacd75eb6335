// Counts the spectra, pixels and peaks in every window of an axis, in one pass over the spectra shown.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::images {

// One entry per window. Only non-zero values count. Sums of integers, so independent of the number of threads.
struct Occupancy {
  std::vector<std::int64_t> spectra;    // with a value in the window
  std::vector<std::int64_t> with_next;  // spectra with a value in this window and in the next one
  std::vector<double> offset_ppm;       // mean distance of the values' m/z from `centre`
};

// Windows ascending and disjoint; centre: a reference m/z of each.
Occupancy occupancy(const io::Plane& plane, std::span<const MzWindow> windows, std::span<const double> centre,
                    int threads, const std::atomic<bool>* cancel);

// The measured pixels with a non-zero value in each window, each once however many spectra it shows.
std::vector<std::int64_t> pixels_in_windows(const io::Plane& plane, std::span<const MzWindow> windows, int threads,
                                            const std::atomic<bool>* cancel);

}  // namespace imn::images
