#include "pick/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "images/bin.h"
#include "images/mz_window.h"
#include "images/summary.h"
#include "pipeline/common/measured_mask.h"
#include "preprocess/sample_map.h"

namespace imn::pick {

namespace {

// More images hardly change the map, and one pass over the file bins them all.
constexpr std::int64_t kMostImages = 200;
constexpr std::int64_t kFewestImages = 20;
constexpr std::int64_t kImageBytes = 400'000'000;

// How much signal each channel has, as a share: its frequency, or that of the mean spectrum where all channels have
// signal nearly everywhere, as the bins of a profile do.
std::vector<double> channel_ranks(const io::Plane& plane, const images::CandidateAxis& axis, int threads,
                                  const std::atomic<bool>* cancel) {
  const std::vector<double>& frequency = axis.frequency;
  const bool known = std::none_of(frequency.begin(), frequency.end(), [](double f) { return std::isnan(f); });
  const auto [low, high] = std::minmax_element(frequency.begin(), frequency.end());
  if (known && *high - *low >= 0.05) return frequency;
  const images::MeanSpectrum mean = images::mean_spectrum(plane, std::nullopt, threads, cancel);
  std::vector<double> total(mean.intensity.size() + 1);
  std::partial_sum(mean.intensity.begin(), mean.intensity.end(), total.begin() + 1);
  const auto sum_below = [&](auto position) { return total[static_cast<std::size_t>(position - mean.mz.begin())]; };
  std::vector<double> rank(axis.mz.size());
  for (std::size_t i = 0; i < rank.size(); ++i) {
    rank[i] = sum_below(std::upper_bound(mean.mz.begin(), mean.mz.end(), axis.mz_hi[i])) -
              sum_below(std::lower_bound(mean.mz.begin(), mean.mz.end(), axis.mz_lo[i]));
  }
  const double largest = std::max(*std::max_element(rank.begin(), rank.end()), 1e-300);
  for (double& value : rank) value /= largest;
  return rank;
}

// Positions of at most `most` channels that stand for the axis, ascending: in each of equal parts of the axis, the one
// with the most signal and the one with about a third.
std::vector<std::size_t> representatives(const io::Plane& plane, const images::CandidateAxis& axis, std::int64_t most,
                                         int threads, const std::atomic<bool>* cancel) {
  const std::size_t n = axis.mz.size();
  std::vector<std::size_t> all(n);
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (n <= static_cast<std::size_t>(most)) return all;
  const std::vector<double> rank = channel_ranks(plane, axis, threads, cancel);
  std::set<std::size_t> chosen;
  const auto parts = static_cast<std::size_t>(most / 2);
  std::size_t begin = 0;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t end = begin + n / parts + (part < n % parts ? 1 : 0);
    const auto third = [&](std::size_t i) { return std::fabs(rank[i] - 1.0 / 3.0); };
    std::size_t strong = begin, middle = begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (rank[i] > rank[strong]) strong = i;
      if (third(i) < third(middle)) middle = i;
    }
    chosen.insert({strong, middle});
    begin = end;
  }
  return {chosen.begin(), chosen.end()};
}

double median(std::vector<double> values) {
  const std::size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  return 0.5 * (upper + *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle)));
}

// Signal of the sample's ions off the sample: the median over the coherent images that are brighter on the sample.
std::optional<double> noise_off_sample(const ImageStack& stack, const preprocess::SampleMap& found,
                                       const std::vector<std::uint8_t>& measured) {
  std::vector<double> known, brighter;
  const std::int64_t pixels = std::int64_t{stack.height} * stack.width;
  bool any_on = false;
  for (std::int64_t p = 0; p < pixels; ++p) {
    const auto at = static_cast<std::size_t>(p);
    any_on = any_on || (measured[at] != 0 && found.map[at] >= 0.5F);
  }
  for (std::int64_t i = 0; i < stack.n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (found.coherent[at] == 0) continue;
    if (!std::isnan(found.noise[at])) known.push_back(found.noise[at]);
    double on = 0.0, off = 0.0, n_on = 0.0, n_off = 0.0;
    for (std::int64_t p = 0; p < pixels; ++p) {
      if (measured[static_cast<std::size_t>(p)] == 0) continue;
      const bool inside = found.map[static_cast<std::size_t>(p)] >= 0.5F;
      const float pixel = stack.data[i * pixels + p];
      const double value = std::isnan(pixel) ? 0.0 : static_cast<double>(pixel);
      (inside ? on : off) += value;
      (inside ? n_on : n_off) += 1.0;
    }
    if (on / n_on > off / n_off) brighter.push_back(found.noise[at]);
  }
  if (known.empty()) return std::nullopt;
  const std::vector<double>& used = any_on ? brighter : std::vector<double>{};
  if (used.empty()) return std::nullopt;
  return median(used);
}

// (height * width): the mask of the stack, without pixels that are NaN in all images.
std::vector<std::uint8_t> measured_pixels(const ImageStack& stack) {
  const std::int64_t pixels = std::int64_t{stack.height} * stack.width;
  std::vector<std::uint8_t> measured(static_cast<std::size_t>(pixels));
  for (std::int64_t p = 0; p < pixels; ++p) {
    if (stack.mask != nullptr && stack.mask[p] == 0) continue;
    std::int64_t i = 0;
    while (i < stack.n && std::isnan(stack.data[i * pixels + p])) ++i;
    measured[static_cast<std::size_t>(p)] = i < stack.n ? 1 : 0;
  }
  return measured;
}

}  // namespace

SectionSample sample_of_images(const ImageStack& stack, int threads, const std::atomic<bool>* cancel) {
  SectionSample sample;
  sample.n_images = stack.n;
  if (stack.n == 0) return sample;
  const auto found = preprocess::sample_map(stack, threads, cancel);
  if (!found) return sample;
  const std::vector<std::uint8_t> measured = measured_pixels(stack);
  sample.kind = found->off_sample >= 0.5 ? "part" : "all";
  sample.map = found->map;
  double sum = 0.0, n = 0.0;
  for (std::size_t p = 0; p < measured.size(); ++p) {
    if (measured[p] == 0) continue;
    sum += static_cast<double>(found->map[p]);
    n += 1.0;
  }
  sample.share = sum / n;
  sample.off_sample = found->off_sample;
  sample.separation = found->separation;
  sample.noise = noise_off_sample(stack, *found, measured);
  sample.n_coherent = std::count(found->coherent.begin(), found->coherent.end(), std::uint8_t{1});
  return sample;
}

SectionSample section_sample(const io::Plane& plane, const images::CandidateAxis& axis, int threads,
                             const std::atomic<bool>* cancel) {
  const io::Geometry& geometry = plane.geometry();
  const std::int64_t pixels = geometry.n_pixels();
  const std::int64_t most = std::clamp(kImageBytes / (4 * pixels), kFewestImages, kMostImages);
  const std::vector<std::size_t> chosen = representatives(plane, axis, most, threads, cancel);
  if (chosen.empty()) return {};
  std::vector<images::MzWindow> windows;
  for (const std::size_t i : chosen) windows.push_back({axis.mz_lo[i], axis.mz_hi[i]});
  std::vector<float> images(chosen.size() * static_cast<std::size_t>(pixels));
  images::BinOptions options;
  options.threads = threads;
  options.cancel = cancel;
  images::bin_images(plane, windows, options, images);
  std::vector<std::uint8_t> mask = pipeline::measured_mask(plane);
  if (mask.empty()) mask.assign(static_cast<std::size_t>(pixels), 1);
  ImageStack stack;
  stack.data = images.data();
  stack.n = static_cast<std::int64_t>(chosen.size());
  stack.height = geometry.height;
  stack.width = geometry.width;
  stack.mask = mask.data();
  return sample_of_images(stack, threads, cancel);
}

}  // namespace imn::pick
