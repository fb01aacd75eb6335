#include "pipeline/pipeline.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/stopwatch.h"
#include "pipeline/strip_producer.h"

namespace imn::pipeline {
namespace {

// Half of the limit is for the two strips; the other half is for the header tables, the readers' buffers and the
// scorer.
constexpr std::int64_t kStripShare = 4;
// A longer strip gains nothing (a row of a continuous file is then read in pieces of many pages) and delays the start.
constexpr std::int64_t kMaxStripBytes = std::int64_t{256} << 20;

// Counts images, passes progress on and turns a cancel flag into Cancelled.
class Advance {
 public:
  Advance(const Options& options, std::int64_t total) : options_(options), total_(total) {}
  void operator()(std::int64_t n) {
    done_ += n;
    if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) throw Cancelled();
    if (options_.progress) options_.progress(done_, total_);
  }

 private:
  const Options& options_;
  std::int64_t total_;
  std::int64_t done_ = 0;
};

// Results are still being written while an exception unwinds; the caller's memory must outlast that.
class AbandonOnUnwind {
 public:
  explicit AbandonOnUnwind(ImageSink& sink) : sink_(sink) {}
  AbandonOnUnwind(const AbandonOnUnwind&) = delete;
  AbandonOnUnwind& operator=(const AbandonOnUnwind&) = delete;
  ~AbandonOnUnwind() {
    if (!finished_) sink_.abandon();
  }
  void finish() {
    sink_.finish();
    finished_ = true;
  }

 private:
  ImageSink& sink_;
  bool finished_ = false;
};

void check_results(std::int64_t n, const ImageSink& sink, const Results& results) {
  if (static_cast<std::int64_t>(results.outputs.size()) != n * sink.n_outputs() ||
      static_cast<std::int64_t>(results.blank.size()) != n) {
    throw ArgumentError("the results must hold " + std::to_string(sink.n_outputs()) + " values and a flag per image");
  }
}

}  // namespace

std::int64_t images_per_strip(std::int64_t n_windows, std::int64_t pixels, std::int64_t memory_limit) {
  const std::int64_t image_bytes = std::max<std::int64_t>(1, pixels) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t budget = std::min(memory_limit / kStripShare, kMaxStripBytes);
  const std::int64_t images = budget / image_bytes;
  if (images < 1 && memory_limit / kStripShare < image_bytes) {
    throw ArgumentError("memory limit of " + std::to_string(memory_limit) + " bytes is too small for images of " +
                        std::to_string(pixels) + " pixels: at least " + std::to_string(kStripShare * image_bytes) +
                        " bytes are needed");
  }
  return std::clamp<std::int64_t>(images, 1, std::max<std::int64_t>(1, n_windows));
}

Timings score_windows(const io::Dataset& dataset, std::span<const images::MzWindow> windows, ImageSink& sink,
                      const Options& options, const Results& results) {
  const auto n = static_cast<std::int64_t>(windows.size());
  check_results(n, sink, results);
  Timings timings;
  if (n == 0) return timings;
  const Stopwatch total;

  const std::int64_t pixels = std::int64_t{dataset.width()} * dataset.height();
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(pixels), 0);
  for (const io::Pixel& pixel : dataset.pixels()) mask[static_cast<std::size_t>(pixel.index)] = 1;
  // Without a mask the stages need not look at it.
  const bool complete = static_cast<std::int64_t>(dataset.pixels().size()) == pixels;

  timings.images_per_strip = images_per_strip(n, pixels, options.memory_limit);
  StripProducer producer(dataset, windows, timings.images_per_strip, options.threads);
  timings.strips = producer.strips();
  Advance advance(options, n);
  AbandonOnUnwind guard(sink);
  sink.begin(results);

  while (!producer.finished()) {
    const Stopwatch waiting;
    const StripProducer::Strip strip = producer.wait_for(std::chrono::milliseconds(100));
    timings.wait_for_images_s += waiting.seconds();
    if (strip.n == 0) {
      advance(0);
      continue;
    }
    const ImageStack stack{strip.images, strip.n, dataset.height(), dataset.width(), complete ? nullptr : mask.data()};
    sink.consume(stack, [&](std::int64_t k) { advance(k); });
    producer.release();
  }
  guard.finish();
  timings.bin_s = producer.bin_seconds();
  sink.report(timings);
  timings.total_s = total.seconds();
  return timings;
}

Timings score_stack(const ImageStack& stack, ImageSink& sink, const Options& options, const Results& results) {
  check_results(stack.n, sink, results);
  Timings timings;
  if (stack.n == 0) return timings;
  const Stopwatch total;
  Advance advance(options, stack.n);
  AbandonOnUnwind guard(sink);
  sink.begin(results);
  sink.consume(stack, [&](std::int64_t k) { advance(k); });
  guard.finish();
  sink.report(timings);
  timings.strips = 1;
  timings.images_per_strip = stack.n;
  timings.total_s = total.seconds();
  return timings;
}

}  // namespace imn::pipeline
