// Ion images on a GPU: the same images as bin_images, bit for bit. In CUDA builds only.
//
// A run goes through the file strip by strip, and within a strip through blocks of pixels:
//
//   plan = make_window_plan(plane, windows);  DeviceWindowPlan on_device(plan, stream);          once
//   for every strip (consecutive windows of the plan):
//     for every block of pixels:                             host: stage_pixels, stage_bins or read_peaks + store_peaks
//       copy to the device;  bin_continuous_cuda or bin_processed_cuda(...)                    enqueued on a stream
//
// and then holds the images of the strip's windows, image i being window plan.windows.row[strip.first + i] of the
// caller's list. Pixels in any order; each pixel lies in one block, with all its spectra. Pixels that are in no block
// are not written: clear the images first where a section has unmeasured pixels.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "core/cuda/buffer.h"
#include "images/bin_views.h"
#include "images/window_plan.h"

namespace imn::images {

// A WindowPlan on the current device. About 30 bytes a window and 4 a cell of the table.
class DeviceWindowPlan {
 public:
  // Returns when `plan` has been copied.
  DeviceWindowPlan(const WindowPlan& plan, cudaStream_t stream);
  const PlanView& view() const { return view_; }

 private:
  cuda::DeviceBuffer<double> lo_, hi_, reach_;
  cuda::DeviceBuffer<std::int32_t> lut_, first_, last_;
  PlanView view_;
};

// Both enqueue one kernel, or one for every kMostChunks chunks, on `stream` and return; every address is the device's,
// and a pixel lies in one chunk. `images` must have room for the strip's windows and is written at the chunks' pixels
// only. Throws CudaError (launch) and ArgumentError (views that contradict each other).
//
// A strip's bins (strip_bins) may be given in several parts, cut at multiples of kBinTile and given in ascending order
// on one stream, one chunk at a time: then `carry` holds the unfinished sums of windows across a cut, strip.size() *
// pixels.rows doubles, not initialised, the same for all parts of one chunk. nullptr: the bins are given in one part.
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
