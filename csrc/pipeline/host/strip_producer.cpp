#include "pipeline/host/strip_producer.h"

#include <algorithm>
#include <utility>

#include "core/stopwatch.h"
#include "images/bin.h"

namespace imn::pipeline {

StripProducer::StripProducer(const io::Plane& plane, std::span<const images::MzWindow> windows,
                             std::int64_t images_per_strip, int threads)
    : plane_(plane),
      windows_(windows),
      images_per_strip_(images_per_strip),
      pixels_(std::int64_t{plane.geometry().width} * plane.geometry().height),
      n_strips_((static_cast<std::int64_t>(windows.size()) + images_per_strip - 1) / images_per_strip),
      threads_(threads) {
  for (std::int64_t b = 0; b < std::min<std::int64_t>(2, n_strips_); ++b) {
    buffers_[static_cast<std::size_t>(b)].reset(new float[static_cast<std::size_t>(strip_size(b) * pixels_)]);
  }
  thread_.start([this] { run(); });
}

StripProducer::~StripProducer() { thread_.stop(); }

std::int64_t StripProducer::strip_size(std::int64_t strip) const {
  const auto n = static_cast<std::int64_t>(windows_.size());
  return std::min(images_per_strip_, n - strip * images_per_strip_);
}

void StripProducer::run() {
  for (std::int64_t strip = 0; strip < n_strips_; ++strip) {
    if (!thread_.wait([&] { return strip - released_ < 2; })) return;
    images::BinOptions options;
    options.threads = threads_;
    options.cancel = &thread_.stopping();
    const Stopwatch working;
    const auto n = static_cast<std::size_t>(strip_size(strip));
    images::bin_images(plane_, windows_.subspan(static_cast<std::size_t>(strip * images_per_strip_), n), options,
                       {buffers_[static_cast<std::size_t>(strip % 2)].get(), n * static_cast<std::size_t>(pixels_)});
    thread_.change([&] {
      bin_s_ += working.seconds();
      binned_ = strip + 1;
    });
  }
}

StripProducer::Strip StripProducer::wait_for(std::chrono::milliseconds patience) {
  return thread_.wait_for(
      patience, [this] { return binned_ > taken_; },
      [this]() -> Strip {
        const std::int64_t strip = taken_++;
        return {buffers_[static_cast<std::size_t>(strip % 2)].get(), strip * images_per_strip_, strip_size(strip)};
      });
}

void StripProducer::release() {
  thread_.change([this] { ++released_; });
}

double StripProducer::bin_seconds() const {
  return thread_.read([this] { return bin_s_; });
}

}  // namespace imn::pipeline
