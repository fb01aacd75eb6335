#include "pick/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <string>

#include "core/error.h"
#include "images/bin.h"
#include "images/mz_window.h"

namespace imn::pick {

namespace {

// Images that are made at a time to count the pixels with signal.
constexpr std::int64_t kFrequencyBytes = std::int64_t{128} << 20;

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

std::vector<images::MzWindow> windows_around(std::span<const double> mz, const GivenWindows& windows) {
  for (std::size_t i = 0; i < mz.size(); ++i) {
    if (!std::isfinite(mz[i]) || mz[i] <= 0.0) {
      throw ArgumentError("mz must be finite and positive; entry " + std::to_string(i) + " is " + text_of(mz[i]));
    }
  }
  if (windows.ppm.has_value() == windows.tol.has_value()) {
    throw ArgumentError(
        "give exactly one of ppm (--ppm, half width in parts per million) and tol (--tol, half width in m/z)");
  }
  const double half = windows.ppm ? *windows.ppm : *windows.tol;
  if (!std::isfinite(half) || half < 0.0) {
    throw ArgumentError(std::string(windows.ppm ? "ppm" : "tol") + " must be a number from 0, got " + text_of(half));
  }
  std::vector<images::MzWindow> found;
  found.reserve(mz.size());
  for (const double centre : mz) {
    found.push_back(windows.ppm ? images::ppm_window(centre, half) : images::tol_window(centre, half));
  }
  return found;
}

std::string half_width_text(const GivenWindows& windows) {
  return "+-" + (windows.ppm ? text_of(*windows.ppm) + " ppm" : text_of(windows.tol.value_or(0.0)));
}

Channels given_channels(std::span<const double> mz, const GivenWindows& windows) {
  (void)windows_around(mz, windows);  // before sorting, so that an error names the entry as given
  Channels found;
  found.ppm = windows.ppm;
  found.tol = windows.tol;
  images::CandidateAxis& axis = found.axis;
  axis.mz.assign(mz.begin(), mz.end());
  std::sort(axis.mz.begin(), axis.mz.end());
  axis.mz.erase(std::unique(axis.mz.begin(), axis.mz.end()), axis.mz.end());
  found.repeats = static_cast<std::int64_t>(mz.size() - axis.mz.size());
  for (const images::MzWindow& window : windows_around(axis.mz, windows)) {
    axis.mz_lo.push_back(window.lo);
    axis.mz_hi.push_back(window.hi);
  }
  axis.frequency.assign(axis.mz.size(), std::numeric_limits<double>::quiet_NaN());
  axis.method = "given m/z list, " + half_width_text(windows);
  return found;
}

Channels found_channels(const io::Plane& plane, const images::AxisOptions& options) {
  if (options.min_frequency && !(*options.min_frequency >= 0.0 && *options.min_frequency <= 1.0)) {
    throw ArgumentError("min_frequency must be between 0 and 1, got " + text_of(*options.min_frequency));
  }
  if (options.ppm && !(std::isfinite(*options.ppm) && *options.ppm > 0.0)) {
    throw ArgumentError("ppm must be a number above 0, got " + text_of(*options.ppm));
  }
  return {images::candidate_axis(plane, options), std::nullopt, std::nullopt, 0};
}

void count_frequency(const io::Plane& plane, images::CandidateAxis& axis, int threads,
                     const std::atomic<bool>* cancel) {
  const auto measured = static_cast<double>(std::max<std::size_t>(1, plane.pixels().size()));
  const std::int64_t pixels = plane.geometry().n_pixels();
  const auto n = static_cast<std::int64_t>(axis.mz.size());
  const std::int64_t step = std::max<std::int64_t>(1, kFrequencyBytes / (4 * pixels));
  images::BinOptions options;
  options.threads = threads;
  options.cancel = cancel;
  std::vector<float> images(static_cast<std::size_t>(std::min(step, n) * pixels));
  for (std::int64_t first = 0; first < n; first += step) {
    const std::int64_t last = std::min(n, first + step);
    std::vector<images::MzWindow> windows;
    for (std::int64_t i = first; i < last; ++i) {
      windows.push_back({axis.mz_lo[static_cast<std::size_t>(i)], axis.mz_hi[static_cast<std::size_t>(i)]});
    }
    const std::span<float> part = std::span(images).first(static_cast<std::size_t>((last - first) * pixels));
    images::bin_images(plane, windows, options, part);
    for (std::int64_t i = first; i < last; ++i) {
      const auto image = part.subspan(static_cast<std::size_t>((i - first) * pixels), static_cast<std::size_t>(pixels));
      const auto signal = std::count_if(image.begin(), image.end(), [](float v) { return v != 0.0F; });
      axis.frequency[static_cast<std::size_t>(i)] = static_cast<double>(signal) / measured;
    }
  }
}

bool lacks_frequency(const images::CandidateAxis& axis) {
  return std::all_of(axis.frequency.begin(), axis.frequency.end(), [](double f) { return std::isnan(f); });
}

}  // namespace imn::pick
