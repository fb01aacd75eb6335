// CUDA version of image_statistics() for images in device memory. Needs no CUDA headers: streams are void*.
// In a build without CUDA every function but mask_facts_bytes() throws UnavailableError.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_stack.h"
#include "preprocess/preprocess_cuda.h"
#include "score/statistics.h"

namespace imn::score {

// Bytes of the mask facts, which depend only on the measured pixels of a section and are prepared once for all its
// images: 1 / blur(mask), (height, width), 0 where not measured; and the number of measured pixels. The address must be
// 256-byte aligned.
inline std::size_t mask_facts_bytes(std::int32_t height, std::int32_t width) {
  return 256 + sizeof(float) * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
}
// mask: (height, width) on the device, or null if all pixels are measured. Enqueues on `stream` and returns.
void prepare_mask_cuda(const std::uint8_t* mask, std::int32_t height, std::int32_t width, void* mask_facts,
                       void* stream);

// All addresses are on the current device.
struct StatisticsCall {
  ImageStack images;  // as for image_statistics(), with the mask passed to prepare_mask_cuda()
  // Facts for an id with `mask`, from preprocess_cuda() on the same images. If null, they are computed here, which
  // reads the images once more.
  const preprocess::ImageFacts* facts = nullptr;
  const void* mask_facts = nullptr;  // from prepare_mask_cuda()
  void* scratch = nullptr;  // statistics_scratch_bytes() bytes, 256-byte aligned, not shared with another stream
  float* out = nullptr;     // (images.n, kStatistics)
  bool roots = false;       // whether blur_sqrt and reliability are wanted, too; otherwise their columns are left alone
};

// Returns the scratch bytes for up to n images per call on the current device. They consist of 40 bytes per tile of 40
// x 64 pixels of each image, and, for each thread block that counts objects (a few per multiprocessor, at most 256 MiB
// in all), 16 bytes per pixel; 22 if an image does not fit the shared memory of a block: more than 64,000 pixels on
// compute capability 9.0, 54,000 on 8.0, 32,000 on 8.9 and 12.0. With roots, 24 bytes per image and 120 per tile more.
std::size_t statistics_scratch_bytes(std::int64_t n, std::int32_t height, std::int32_t width, bool roots);

// Enqueues on `stream` (a cudaStream_t) and returns. Allocates nothing and may be captured in a graph.
//
// coverage and chaos have the same bits as those of image_statistics(). The others add the same terms in float64 in
// another, fixed order; moran and blur differ by at most 4 units in the last place (of 0.001 if they are smaller),
// blur_sqrt by 8, and reliability by 1e-6. A pixel that is
// NaN counts as unmeasured even if the mask marks it as measured, but then that image is blurred twice; pass the mask
// of pixels that have a spectrum to avoid this. Throws ArgumentError for images of more than 2^30 pixels and stacks of
// more than 2^31 - 1 tiles.
void statistics_cuda(const StatisticsCall& call, void* stream);

}  // namespace imn::score
