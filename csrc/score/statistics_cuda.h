// CUDA backend of image_statistics(), on images that are on the device. Knows no CUDA: streams cross as void*.
// In a build without CUDA every function but mask_facts_bytes() throws UnavailableError.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_stack.h"
#include "preprocess/preprocess_cuda.h"
#include "score/statistics.h"

namespace imn::score {

// What the measured pixels of a section alone decide, prepared once for all its images: (height, width) values of
// 1 / blur(mask), 0 where not measured, and how many pixels are measured. `bytes` of device memory, 256-byte aligned.
inline std::size_t mask_facts_bytes(std::int32_t height, std::int32_t width) {
  return 256 + sizeof(float) * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
}
// mask: (height, width) on the device, or null where all pixels are measured. Enqueues on `stream` and returns.
void prepare_mask_cuda(const std::uint8_t* mask, std::int32_t height, std::int32_t width, void* mask_facts,
                       void* stream);

// All addresses are on the device that is current.
struct StatisticsCall {
  ImageStack images;  // as for image_statistics(), with the mask that the section was prepared with
  // Of p99_stretch_224_mask, from preprocess_cuda() on the same images; null: found here, by another read of the
  // images.
  const preprocess::ImageFacts* facts = nullptr;
  const void* mask_facts = nullptr;  // from prepare_mask_cuda()
  void* scratch = nullptr;           // statistics_scratch_bytes() of them, 256-byte aligned, shared by no other stream
  float* out = nullptr;              // (images.n, kStatistics)
};

// Scratch for up to n images a call on the device that is current: 40 bytes for each tile of 40 x 64 pixels of each
// image; and for each thread block that counts objects (at most a few per multiprocessor, at most 256 MiB in all) 16
// bytes a pixel, or 22 where images do not fit the block's shared memory: more than 64,000 pixels on compute
// capability 9.0, 54,000 on 8.0, 32,000 on 8.9 and 12.0.
std::size_t statistics_scratch_bytes(std::int64_t n, std::int32_t height, std::int32_t width);

// Enqueues on `stream` (a cudaStream_t) and returns; allocates nothing, may be captured in a graph.
//
// coverage and chaos have the bits of image_statistics(). moran and blur add up the same terms in float64 in another,
// fixed order: they are within 4 units in the last place of it (of 0.001 where
// they are smaller). A pixel that the mask calls measured but that is
// NaN is not measured, at the cost of a second blur for that image: pass the mask of the pixels that have a spectrum.
// Images of more than 2^30 pixels, and stacks of more than 2^31 - 1 tiles, are an ArgumentError.
void statistics_cuda(const StatisticsCall& call, void* stream);

}  // namespace imn::score
