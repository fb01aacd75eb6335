// Staging: what the device needs of the file, in the layout it wants. Plain C++; safe from several threads at once.
//
// Values are converted here, on the host. Whatever the ibd file holds (8-bit integers to doubles, compressed or to be
// repaired) is read as everywhere else, with the same errors and warnings, and becomes float32 where that is exact
// (Spectra::float_intensities, float_mz), else float64. Sums on the device then match the CPU's bit for bit.
#pragma once

#include <cstdint>
#include <vector>

#include "images/window_plan.h"
#include "io/plane.h"

namespace imn::images {

// A range of plane.pixels() with all their spectra: row r holds `spectrum[r]`, and pixel p, shown at
// `index[p]` = y * width + x, has the rows [row_first[p], row_first[p + 1]).
struct StagedPixels {
  std::vector<std::int64_t> index;
  std::vector<std::int32_t> row_first;
  std::vector<std::int64_t> spectrum;
  std::int32_t layers = 0;  // most rows of one pixel

  std::int32_t n() const { return static_cast<std::int32_t>(index.size()); }
  std::int32_t rows() const { return static_cast<std::int32_t>(spectrum.size()); }
};

// Pixels [begin, end) of plane.pixels(). Throws ArgumentError for more than 2^31 - 1 rows.
StagedPixels stage_pixels(const io::Plane& plane, std::int64_t begin, std::int64_t end);

// Reusable buffers of one thread.
struct StageScratch {
  std::vector<double> bins;
  io::Spectrum spectrum;
};

// Continuous files: the values [first, last) on the compact axis of one spectrum. T: float (only where
// float_intensities() holds) or double. A compressed spectrum is inflated up to the last bin whatever the range: read
// such files in one strip.
template <typename T>
void stage_bins(const io::Plane& plane, const WindowPlan& plan, std::int64_t spectrum, std::int32_t first,
                std::int32_t last, StageScratch& scratch, T* out);

// Prefetches what stage_bins will read soon; does nothing if the spectra do not stream.
void prefetch_bins(const io::Plane& plane, const WindowPlan& plan, std::int64_t spectrum, std::int32_t first,
                   std::int32_t last);

// Processed files that do not stream: reads the peaks of one spectrum with lo <= m/z <= hi into scratch.spectrum and
// returns their number, at most plane.spectrum_length(spectrum).
std::int64_t read_peaks(const io::Plane& plane, std::int64_t spectrum, double lo, double hi, StageScratch& scratch);

// Converts what read_peaks read. M: float (only where float_mz() holds) or double; T as above.
template <typename M, typename T>
void store_peaks(const StageScratch& scratch, M* mz, T* intensity);

}  // namespace imn::images
