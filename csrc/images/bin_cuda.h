// Ion images on a GPU, bit for bit the same as bin_images. In CUDA builds only.
//
// A run processes the file strip by strip, and each strip in chunks of pixels:
//
//   plan = make_window_plan(plane, windows);  DeviceWindowPlan on_device(plan, stream);          once
//   for every strip (consecutive windows of the plan):
//     for every chunk of pixels:                             host: stage_pixels, stage_bins or read_peaks + store_peaks
//       copy to the device;  bin_continuous_cuda or bin_processed_cuda(...)                    enqueued on a stream
//
// Afterwards image i shows window plan.windows.row[strip.first + i] of the caller's list. Pixels may come in any order;
// each pixel lies in one chunk, with all its spectra. Pixels in no chunk are not written, so clear the images first if
// the section has unmeasured pixels.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "core/cuda/buffer.h"
#include "images/bin_views.h"
#include "images/window_plan.h"

namespace imn::images {

// A WindowPlan on the current device: about 30 bytes per window and 4 per cell of the table.
class DeviceWindowPlan {
 public:
  // Returns once `plan` has been copied.
  DeviceWindowPlan(const WindowPlan& plan, cudaStream_t stream);
  const PlanView& view() const { return view_; }

 private:
  cuda::DeviceBuffer<double> lo_, hi_, reach_;
  cuda::DeviceBuffer<std::int32_t> lut_, first_, last_;
  PlanView view_;
};

// Both enqueue one kernel per kMostChunks chunks on `stream` and return. All addresses are on the device, and each
// pixel lies in one chunk. `images` must have room for the strip's windows; only the chunks' pixels are written. Throws
// CudaError (launch) and ArgumentError (views that contradict each other).
//
// A strip's bins (strip_bins) may be passed in several parts, cut at multiples of kBinTile, in ascending order on one
// stream and one chunk at a time. `carry` then holds the unfinished sums of windows across a cut: strip.size() *
// pixels.rows doubles, uninitialised, the same for all parts of a chunk. nullptr: the bins come in one part.
void bin_continuous_cuda(const PlanView& plan, WindowStrip strip, std::span<const ChunkView<BinsView<float>>> chunks,
                         double* carry, const ImagesView& images, cudaStream_t stream);
void bin_continuous_cuda(const PlanView& plan, WindowStrip strip, std::span<const ChunkView<BinsView<double>>> chunks,
                         double* carry, const ImagesView& images, cudaStream_t stream);

void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<float, float>>> chunks, const ImagesView& images,
                        cudaStream_t stream);
void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<float, double>>> chunks, const ImagesView& images,
                        cudaStream_t stream);
void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<double, float>>> chunks, const ImagesView& images,
                        cudaStream_t stream);
void bin_processed_cuda(const PlanView& plan, WindowStrip strip,
                        std::span<const ChunkView<PeaksView<double, double>>> chunks, const ImagesView& images,
                        cudaStream_t stream);

}  // namespace imn::images
