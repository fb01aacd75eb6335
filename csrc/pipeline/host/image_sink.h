// ImageSink: the scoring end of the host loop. Images arrive in order; results may lag behind until finish().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "pipeline/common/results.h"
#include "pipeline/host/options.h"
#include "preprocess/preprocess.h"
#include "score/cascade.h"
#include "score/network.h"
#include "score/statistics.h"

namespace imn::pipeline {

class ImageSink {
 public:
  virtual ~ImageSink() = default;
  virtual std::int32_t n_outputs() const = 0;
  // Called first. The memory of `results` must live until finish() or abandon() has returned.
  virtual void begin(const Results& results) = 0;
  // Takes all images of the stack, which may then be overwritten. Calls advance(k) after taking k more images.
  virtual void consume(const ImageStack& stack, const std::function<void(std::int64_t)>& advance) = 0;
  // Waits until every result has been written.
  virtual void finish() = 0;
  // Replaces finish() after an exception. Nothing is written to the results afterwards.
  virtual void abandon() noexcept = 0;
  // Adds the time spent to preprocess_s, statistics_s and score_s of `timings`.
  virtual void report(HostTimings& timings) const = 0;
};

// Preprocesses images and scores them with the network, except blank ones. `network` must outlive the sink and must not
// be used by others meanwhile. `cascade`, if given, spares the network the images that it finds to be noise; the
// results then need room for `reach`. `threads` work on it, 0: all. `statistics`: the columns of the network's second
// input, in order; empty if it has none. Throws ArgumentError unless their number is the network's n_statistics.
std::unique_ptr<ImageSink> make_model_sink(score::Network& network, const preprocess::PreprocessId& id,
                                           std::vector<score::Statistic> statistics,
                                           const std::optional<score::Cascade>& cascade = {}, int threads = 1);

// A classical score computed directly from the images, one value per image. An image is blank by the quantile of
// its measured pixels.
std::unique_ptr<ImageSink> make_statistic_sink(score::Statistic statistic, int threads);
using ClassicalScore = std::function<void(const ImageStack& stack, int threads, float* out)>;
std::unique_ptr<ImageSink> make_classical_sink(ClassicalScore score, int threads);

}  // namespace imn::pipeline
