// Staging: what the device is given of the file, in the layout it wants. Plain C++; safe from several threads at once.
//
// Values are converted here, on the host: what the ibd holds (8-bit integers to doubles, compressed or not, to be
// repaired or not) is read as everywhere else, with the same errors and warnings, and leaves as float32 where that is
// exact (Dataset::float_intensities, float_mz), else as float64. Sums on the device then have the CPU's bits.
#pragma once

#include <cstdint>
#include <vector>

#include "images/pixel_sources.h"
#include "images/window_plan.h"
#include "io/dataset.h"

namespace imn::images {

// A run of dataset.pixels(), with all their spectra: row r holds `spectrum[r]`, and pixel p, which is shown at
// `index[p]` = y * width + x, has the rows [row_first[p], row_first[p + 1]).
struct StagedPixels {
  std::vector<std::int64_t> index;
  std::vector<std::int32_t> row_first;
  std::vector<std::int64_t> spectrum;
  std::int32_t layers = 0;  // most rows of one pixel

  std::int32_t n() const { return static_cast<std::int32_t>(index.size()); }
  std::int32_t rows() const { return static_cast<std::int32_t>(spectrum.size()); }
};

// Pixels [begin, end) of dataset.pixels(). Throws ArgumentError for more than 2^31 - 1 rows.
StagedPixels stage_pixels(const io::Dataset& dataset, const ExtraSpectra& extra, std::int64_t begin, std::int64_t end);

// Reusable buffers of one thread.
struct StageScratch {
  std::vector<double> bins;
  io::Spectrum spectrum;
};

// Continuous files: the values [first, last) on the compact axis of one spectrum. T: float (only where
// dataset.float_intensities()) or double. A compressed spectrum is inflated up to the last bin whatever the range: give
// such files one strip.
template <typename T>
void stage_bins(const io::Dataset& dataset, const WindowPlan& plan, std::int64_t spectrum, std::int32_t first,
                std::int32_t last, StageScratch& scratch, T* out);

// Asks for what stage_bins is to read soon; does nothing where the dataset does not stream.
void prefetch_bins(const io::Dataset& dataset, const WindowPlan& plan, std::int64_t spectrum, std::int32_t first,
                   std::int32_t last);

// Processed files that do not stream: reads the peaks of one spectrum with lo <= m/z <= hi into scratch.spectrum and
// returns their number, at most dataset.spectrum_length(spectrum).
std::int64_t read_peaks(const io::Dataset& dataset, std::int64_t spectrum, double lo, double hi, StageScratch& scratch);

// Converts what read_peaks read. M: float (only where dataset.float_mz()) or double; T as above.
template <typename M, typename T>
void store_peaks(const StageScratch& scratch, M* mz, T* intensity);

}  // namespace imn::images
