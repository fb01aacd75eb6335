// Arguments of the binning kernels: addresses in device memory, or in host memory if emulated. The views own nothing.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "images/window_plan.h"

namespace imn::images {

// The arrays of a WindowPlan.
struct PlanView {
  const double* lo = nullptr;
  const double* hi = nullptr;
  const double* reach = nullptr;
  const std::int32_t* lut = nullptr;
  MzCells cells;
  const std::int32_t* first = nullptr;
  const std::int32_t* last = nullptr;
};

// The arrays of a StagedPixels.
struct PixelView {
  const std::int64_t* index = nullptr;
  const std::int32_t* row_first = nullptr;  // n + 1
  std::int32_t n = 0;
  std::int32_t rows = 0;
  std::int32_t layers = 0;
};

// Continuous: compact bins [first, last) of every row, float or double. Row r begins at values + r * stride; `first` is
// a multiple of kBinTile, `values` is 16-byte aligned and `stride`, at least last - first, a multiple of 16 bytes. The
// memory between the end of a row's values and its stride may contain anything.
template <typename T>
struct BinsView {
  const T* values = nullptr;
  std::int64_t stride = 0;
  std::int32_t first = 0;
  std::int32_t last = 0;
};

// Processed: the peaks of row r are [row_start[r], row_start[r + 1]), ascending in m/z. They must include
// those in the range of strip_mz; others do no harm. Both arrays are aligned to 16 bytes, and their last 16 bytes may
// be read as a whole.
template <typename M, typename T>
struct PeaksView {
  const M* mz = nullptr;
  const T* intensity = nullptr;
  const std::int64_t* row_start = nullptr;  // rows + 1
};

// The pixels of a chunk with their bins or peaks (BinsView, PeaksView).
template <typename Data>
struct ChunkView {
  PixelView pixels;
  Data data;
};

// Image of window w of a strip: data + (w - strip.first) * stride, in pixels [y * width + x].
struct ImagesView {
  float* data = nullptr;
  std::int64_t stride = 0;
  const double* factors = nullptr;  // per pixel, in float64 before rounding; null: 1
};

IMN_HOST_DEVICE inline double factor_at(const ImagesView& images, std::int64_t pixel) {
  return images.factors == nullptr ? 1.0 : images.factors[pixel];
}

}  // namespace imn::images
