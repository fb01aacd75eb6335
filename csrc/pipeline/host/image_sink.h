// ImageSink: the scoring end of the streaming loop. Images come in order; results may lag behind until finish().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "pipeline/common/results.h"
#include "pipeline/host/options.h"
#include "preprocess/preprocess.h"
#include "score/network.h"
#include "score/statistics.h"

namespace imn::pipeline {

class ImageSink {
 public:
  virtual ~ImageSink() = default;
  virtual std::int32_t n_outputs() const = 0;
  // Comes first. The results' memory must live until finish() or abandon() has returned.
  virtual void begin(const Results& results) = 0;
  // Takes all images of the stack, which may be overwritten afterwards; `advance(k)` is called as images are taken.
  virtual void consume(const ImageStack& stack, const std::function<void(std::int64_t)>& advance) = 0;
  // Waits until every result has been written.
  virtual void finish() = 0;
  // Instead of finish() when something was thrown: afterwards nothing more is written to the results.
  virtual void abandon() noexcept = 0;
  // Adds the time spent to preprocess_s, statistics_s and score_s.
  virtual void report(HostTimings& timings) const = 0;
};

// Preprocess and network; blank images are kept from it. `network` must outlive the sink and must not be used by others
// meanwhile. `statistics`: what the network's second input is made of, in its order (ArgumentError unless their number
// is the network's n_statistics); empty where it has none.
std::unique_ptr<ImageSink> make_model_sink(score::Network& network, preprocess::PreprocessId id,
                                           std::vector<score::Statistic> statistics);

// A classical score computed from the images themselves: one value per image. Blank is what
// preprocess::PreprocessId::p99_stretch_224_mask sees as blank.
using ClassicalScore = std::function<void(const ImageStack& stack, int threads, float* out)>;
std::unique_ptr<ImageSink> make_classical_sink(ClassicalScore score, int threads);

}  // namespace imn::pipeline
