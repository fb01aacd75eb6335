#include <span>

#include "core/cuda/buffer.h"
#include "core/cuda/stream.h"
#include "preprocess/preprocess_on_device.h"

namespace imn::preprocess {

void preprocess_on_device(const PreprocessCall& call, int device) {
  if (call.images.n <= 0) return;
  const cuda::DeviceScope scope(device);
  const cuda::Stream stream;
  const auto n = static_cast<std::size_t>(call.images.n);
  const auto pixels = static_cast<std::size_t>(call.images.pixels());
  const std::size_t out_bytes = call.out == nullptr
                                    ? 0
                                    : n * static_cast<std::size_t>(channels(call.id)) * kInputSize * kInputSize *
                                          static_cast<std::size_t>(element_bytes(call.type));
  const auto images = cuda::upload(std::span(call.images.data, n * pixels), stream.get());
  const auto mask = cuda::upload(std::span(call.images.mask, call.images.mask == nullptr ? 0 : pixels), stream.get());
  const cuda::DeviceBuffer<unsigned char> out(out_bytes);
  const cuda::DeviceBuffer<ImageFacts> facts(call.facts == nullptr ? 0 : n);
  PreprocessCall there = call;
  there.images.data = images.data();
  there.images.mask = mask.data();
  there.out = out.data();
  there.facts = facts.data();
  preprocess_cuda(there, stream.get());
  cuda::copy_async(static_cast<unsigned char*>(call.out), out.data(), out_bytes, stream.get());
  cuda::copy_async(call.facts, facts.data(), facts.size(), stream.get());
  stream.synchronize();
}

}  // namespace imn::preprocess
