#include "pipeline/host/loop.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/stopwatch.h"
#include "pipeline/common/measured_mask.h"
#include "pipeline/common/on_unwind.h"
#include "pipeline/common/progress.h"
#include "pipeline/host/strip_producer.h"

namespace imn::pipeline {
namespace {

// Each of the two strips may take a quarter of the limit; see HostOptions for the other half.
constexpr std::int64_t kStripShare = 4;
// A longer strip gains nothing, because reads of a continuous file already span many pages, and delays the start.
constexpr std::int64_t kMaxStripBytes = std::int64_t{256} << 20;

}  // namespace

std::int64_t images_per_strip(std::int64_t n_windows, std::int64_t pixels, std::int64_t memory_limit) {
  const std::int64_t image_bytes = std::max<std::int64_t>(1, pixels) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t budget = std::min(memory_limit / kStripShare, kMaxStripBytes);
  const std::int64_t images = budget / image_bytes;
  if (images < 1 && memory_limit / kStripShare < image_bytes) {
    throw ArgumentError("memory limit of " + std::to_string(memory_limit) + " bytes is too small for images of " +
                        std::to_string(pixels) + " pixels; set it to at least " +
                        std::to_string(kStripShare * image_bytes) + " bytes");
  }
  return std::clamp<std::int64_t>(images, 1, std::max<std::int64_t>(1, n_windows));
}

HostTimings score_windows(const io::Plane& plane, std::span<const images::MzWindow> windows, ImageSink& sink,
                          const HostOptions& options, const Results& results) {
  const auto n = static_cast<std::int64_t>(windows.size());
  check_results(n, sink.n_outputs(), results);
  HostTimings timings;
  if (n == 0) return timings;
  const Stopwatch total;

  const std::int64_t pixels = std::int64_t{plane.geometry().width} * plane.geometry().height;
  const std::vector<std::uint8_t> mask = measured_mask(plane);

  timings.images_per_strip = images_per_strip(n, pixels, options.memory_limit);
  StripProducer producer(plane, windows, timings.images_per_strip, options.threads);
  timings.strips = producer.strips();
  Progress progress(options, n);
  const OnUnwind guard([&] { sink.abandon(); });
  sink.begin(results);

  while (!producer.finished()) {
    const Stopwatch waiting;
    const StripProducer::Strip strip = producer.wait_for(std::chrono::milliseconds(100));
    timings.wait_for_images_s += waiting.seconds();
    if (strip.n == 0) {
      progress.advance(0);
      continue;
    }
    const ImageStack stack{
        strip.images,  strip.n, plane.geometry().height, plane.geometry().width, mask.empty() ? nullptr : mask.data(),
        options.sample};
    sink.consume(stack, [&](std::int64_t k) { progress.advance(k); });
    producer.release();
  }
  sink.finish();
  timings.bin_s = producer.bin_seconds();
  sink.report(timings);
  timings.total_s = total.seconds();
  return timings;
}

HostTimings score_stack(const ImageStack& stack, ImageSink& sink, const HostOptions& options, const Results& results) {
  check_results(stack.n, sink.n_outputs(), results);
  HostTimings timings;
  if (stack.n == 0) return timings;
  const Stopwatch total;
  Progress progress(options, stack.n);
  const OnUnwind guard([&] { sink.abandon(); });
  sink.begin(results);
  sink.consume(stack, [&](std::int64_t k) { progress.advance(k); });
  sink.finish();
  sink.report(timings);
  timings.strips = 1;
  timings.images_per_strip = stack.n;
  timings.total_s = total.seconds();
  return timings;
}

LoopFacts facts(const HostTimings& t) {
  return {{"bin_s", t.bin_s},
          {"wait_for_images_s", t.wait_for_images_s},
          {"preprocess_s", t.preprocess_s},
          {"statistics_s", t.statistics_s},
          {"cascade_s", t.cascade_s},
          {"score_s", t.score_s},
          {"total_s", t.total_s},
          {"strips", t.strips},
          {"images_per_strip", t.images_per_strip}};
}

}  // namespace imn::pipeline
