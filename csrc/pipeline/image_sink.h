// ImageSink: the scoring end of the streaming loop. Images come in order; results may lag behind until finish().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/image_stack.h"
#include "pipeline/options.h"
#include "preprocess/preprocess.h"
#include "score/scorer.h"

namespace imn::pipeline {

class ImageSink {
 public:
  virtual ~ImageSink() = default;
  virtual std::int32_t n_outputs() const = 0;
  // Takes all images of the stack, which may be overwritten afterwards; the results (stack.n, n_outputs) go to `out`,
  // directly behind those of the previous call. `advance(k)` is called as images are taken.
  virtual void consume(const ImageStack& stack, float* out, const std::function<void(std::int64_t)>& advance) = 0;
  // Waits until every result has been written.
  virtual void finish() = 0;
  // Instead of finish() when something was thrown: afterwards nothing more is written to any `out`.
  virtual void abandon() noexcept = 0;
  // Adds the time spent to preprocess_s and score_s.
  virtual void report(Timings& timings) const = 0;
};

// Preprocess and network. `scorer` must outlive the sink and must not be used by others meanwhile.
std::unique_ptr<ImageSink> make_model_sink(score::Scorer& scorer, preprocess::PreprocessId id);

// A classical score computed from the images themselves: one value per image.
using ClassicalScore = std::function<void(const ImageStack& stack, int threads, float* out)>;
std::unique_ptr<ImageSink> make_classical_sink(ClassicalScore score, int threads);

}  // namespace imn::pipeline
