#include <span>

#include "core/cuda/buffer.h"
#include "core/cuda/stream.h"
#include "score/statistics_cuda.h"
#include "score/statistics_on_device.h"

namespace imn::score {

void statistics_on_device(const ImageStack& images, int device, float* out) {
  if (images.n <= 0) return;
  const cuda::DeviceScope scope(device);
  const cuda::Stream stream;
  const auto n = static_cast<std::size_t>(images.n);
  const auto pixels = static_cast<std::size_t>(images.pixels());
  const auto data = cuda::upload(std::span(images.data, n * pixels), stream.get());
  const auto mask = cuda::upload(std::span(images.mask, images.mask == nullptr ? 0 : pixels), stream.get());
  const cuda::DeviceBuffer<unsigned char> section(section_bytes(images.height, images.width));
  const cuda::DeviceBuffer<unsigned char> scratch(statistics_scratch_bytes(images.n, images.height, images.width));
  const cuda::DeviceBuffer<float> result(n * kStatistics);
  ImageStack there = images;
  there.data = data.data();
  there.mask = mask.data();
  prepare_section_cuda(mask.data(), images.height, images.width, section.data(), stream.get());
  statistics_cuda({there, nullptr, section.data(), scratch.data(), result.data()}, stream.get());
  cuda::copy_async(out, result.data(), result.size(), stream.get());
  stream.synchronize();
}

}  // namespace imn::score
