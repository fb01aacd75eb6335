// CUDA version of preprocess() for images in device memory. Needs no CUDA headers: streams are void*.
// In a build without CUDA every function throws UnavailableError.
#pragma once

#include <cstdint>

#include "core/image_stack.h"
#include "preprocess/element_type.h"
#include "preprocess/input_tables.h"
#include "preprocess/preprocess.h"

namespace imn::preprocess {

// Facts about an image that are found in addition to the network's input; x = clip(pixel / divisor, 0, 1).
struct ImageFacts {
  double sum;             // of x over the measured pixels
  float divisor;          // max(q, 1e-6); 1 if no pixel counts
  std::int32_t measured;  // pixels
  std::int32_t positive;  // measured pixels with x > 0
  std::int32_t blank;     // 1 if blank as find_blank() defines it, else 0
};
static_assert(sizeof(ImageFacts) == 24);

// All addresses are on the current device. Images have at most 2^31 - 8 pixels (otherwise ArgumentError), at any
// address that is a multiple of 4.
struct PreprocessCall {
  ImageStack images;  // as for preprocess(); mask may be null
  PreprocessId id;
  ElementType type = ElementType::f32;
  // (images.n, channels, size, size) of `type`, 8-byte aligned; null computes only the facts. f32 has
  // the bits of preprocess(); bf16 and f16 are these values rounded to nearest, ties to even.
  void* out = nullptr;
  ImageFacts* facts = nullptr;  // (images.n); may be null
  InputTables tables{};         // of the id; not needed if `out` is null
};

// Enqueues on `stream` (a cudaStream_t) and returns. Allocates nothing, needs no scratch memory and may be captured in
// a graph. Uses one thread block per image. Reads each image once if it fits the shared memory of a thread block (about
// 51,000 pixels on compute capability 9.0, 36,000 on 8.0, 21,000 on 8.9 and 12.0), otherwise four to seven times.
void preprocess_cuda(const PreprocessCall& call, void* stream);

}  // namespace imn::preprocess
