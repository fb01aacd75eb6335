#include "images/profile_fits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/parallel_for.h"
#include "images/upper_median.h"

namespace imn::images {
namespace {

constexpr double kReach = 3.0;           // where the weights end, in their standard deviations
constexpr double kLeastSteps = 0.7;      // standard deviation of the weights, so that five samples count
constexpr std::size_t kMostBins = 128;   // on each side of a fit
constexpr double kBaselineWidths = 4.0;  // half width of the window of the baseline
constexpr double kClip = 3.5;            // noises; what is higher is no noise
constexpr double kGuard = 1.5;           // widths around a peak that are left out
constexpr int kRounds = 3;
constexpr std::size_t kSegment = 512;  // bins that share a noise level, estimated from three times as many
constexpr double kSegmentWidths = 20.0;
constexpr double kHigh = 0.99;             // quantile of the absolute values
constexpr double kHighOfNormal = 2.57583;  // the same of a normal distribution
constexpr std::int64_t kGrain = 4096;

using Triple = std::array<double, 3>;

// Standard deviation of sum(row . (1, x, x^2) * weight * noise) for white noise; q: sums of weight^2 x^k.
double gain(const Triple& row, const std::array<double, 5>& q) {
  const double variance = row[0] * row[0] * q[0] + 2.0 * row[0] * row[1] * q[1] +
                          (row[1] * row[1] + 2.0 * row[0] * row[2]) * q[2] + 2.0 * row[1] * row[2] * q[3] +
                          row[2] * row[2] * q[4];
  return std::sqrt(std::max(0.0, variance));
}

// Noise of every bin from the absolute values of the bins that are `used`; `otherwise` where those are few.
std::vector<double> running_level(std::span<const double> values, const std::vector<char>& used, std::size_t segment,
                                  const std::vector<double>* otherwise) {
  const std::size_t n = values.size();
  std::vector<double> noise(n);
  std::vector<double> here;
  for (std::size_t begin = 0; begin < n; begin += segment) {
    const std::size_t from = begin >= segment ? begin - segment : 0;
    const std::size_t to = std::min(n, begin + 2 * segment);
    const std::size_t end = std::min(n, begin + segment);
    here.clear();
    for (std::size_t b = from; b < to; ++b) {
      if (used[b] != 0) here.push_back(std::abs(values[b]));
    }
    if (otherwise != nullptr && 8 * here.size() < to - from) {
      std::copy(otherwise->begin() + static_cast<std::ptrdiff_t>(begin),
                otherwise->begin() + static_cast<std::ptrdiff_t>(end),
                noise.begin() + static_cast<std::ptrdiff_t>(begin));
      continue;
    }
    double level = 1.4826 * upper_median(here);
    if (otherwise != nullptr) {
      const auto rank = static_cast<std::size_t>(kHigh * static_cast<double>(here.size()));
      level = std::max(level, value_of_rank(here, rank) / kHighOfNormal);
    }
    std::fill(noise.begin() + static_cast<std::ptrdiff_t>(begin), noise.begin() + static_cast<std::ptrdiff_t>(end),
              level);
  }
  return noise;
}

}  // namespace

LocalFits local_fits(const ProfileBins& bins, std::span<const double> curve, double kernel, int threads,
                     const std::atomic<bool>* cancel) {
  const std::vector<double>& mz = bins.mz;
  const std::size_t n = mz.size();
  LocalFits fits;
  fits.smooth.assign(curve.begin(), curve.end());
  fits.amplitude.assign(n, 0.0);
  fits.smooth_gain.assign(n, 1.0);
  fits.amplitude_gain.assign(n, std::numeric_limits<double>::infinity());
  const auto body = [&](std::int64_t begin, std::int64_t end, int) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const double sigma = bins.width[i] / kFwhmSigmas;
      const double h = std::max(kernel * sigma, kLeastSteps * bins.step[i]);
      std::size_t first = i;
      while (first > 0 && i - first < kMostBins && mz[i] - mz[first - 1] <= kReach * h) --first;
      std::size_t last = i;
      while (last + 1 < n && last - i < kMostBins && mz[last + 1] - mz[i] <= kReach * h) ++last;
      std::array<double, 5> m{};
      std::array<double, 5> q{};
      Triple s{};
      for (std::size_t j = first; j <= last; ++j) {
        const double x = (mz[j] - mz[i]) / h;
        const double weight = std::exp(-0.5 * x * x);
        double power = 1.0;
        for (std::size_t k = 0; k < 5; ++k) {
          m[k] += weight * power;
          q[k] += weight * weight * power;
          if (k < 3) s[k] += weight * power * curve[j];
          power *= x;
        }
      }
      const double det =
          m[0] * (m[2] * m[4] - m[3] * m[3]) - m[1] * (m[1] * m[4] - m[2] * m[3]) + m[2] * (m[1] * m[3] - m[2] * m[2]);
      if (!(det > 1e-9 * m[0] * m[0] * m[0])) continue;  // too few bins
      // Rows of the inverse of the matrix of moments.
      const Triple height{(m[2] * m[4] - m[3] * m[3]) / det, (m[2] * m[3] - m[1] * m[4]) / det,
                          (m[1] * m[3] - m[2] * m[2]) / det};
      const Triple curvature{height[2], (m[1] * m[2] - m[0] * m[3]) / det, (m[0] * m[2] - m[1] * m[1]) / det};
      const double ratio = h / sigma;
      const double scale = 2.0 / (ratio * ratio) * std::pow(1.0 + ratio * ratio, 1.5);
      fits.smooth[i] = height[0] * s[0] + height[1] * s[1] + height[2] * s[2];
      fits.smooth_gain[i] = gain(height, q);
      fits.amplitude[i] = -scale * (curvature[0] * s[0] + curvature[1] * s[1] + curvature[2] * s[2]);
      fits.amplitude_gain[i] = scale * gain(curvature, q);
    }
  };
  parallel_for(static_cast<std::int64_t>(n), kGrain, threads, body, cancel);
  return fits;
}

std::vector<double> snip_baseline(const ProfileBins& bins, std::span<const double> curve, int threads,
                                  const std::atomic<bool>* cancel) {
  const std::size_t n = curve.size();
  std::vector<double> base(curve.begin(), curve.end());
  std::vector<double> side(n);
  double widest = 1.0;
  for (std::size_t b = 0; b < n; ++b) {
    side[b] = std::min(kBaselineWidths * bins.width[b] / bins.step[b], static_cast<double>(4 * kMostBins));
    widest = std::max(widest, side[b]);
  }
  const double rounds = std::ceil(widest);
  std::vector<double> clipped = base;
  for (double k = rounds; k > 0.0; k -= 1.0) {
    const auto body = [&](std::int64_t begin, std::int64_t end, int) {
      for (auto b = static_cast<std::size_t>(begin); b < static_cast<std::size_t>(end); ++b) {
        const auto offset = static_cast<std::size_t>(std::max(1.0, std::floor(side[b] * k / rounds + 0.5)));
        clipped[b] =
            b >= offset && b + offset < n ? std::min(base[b], 0.5 * (base[b - offset] + base[b + offset])) : base[b];
      }
    };
    parallel_for(static_cast<std::int64_t>(n), 8 * kGrain, threads, body, cancel);
    std::swap(base, clipped);
  }
  return base;
}

std::vector<double> noise_of_amplitude(const ProfileBins& bins, const LocalFits& fits) {
  const std::size_t n = fits.amplitude.size();
  std::vector<double> white(n);
  std::vector<double> samples(n);
  for (std::size_t b = 0; b < n; ++b) {
    white[b] = fits.amplitude[b] / fits.amplitude_gain[b];
    samples[b] = bins.width[b] / bins.step[b];
  }
  const auto segment = std::max(kSegment, static_cast<std::size_t>(std::ceil(kSegmentWidths * upper_median(samples))));
  std::vector<char> quiet(n, 1);
  std::vector<double> noise = running_level(white, quiet, segment, nullptr);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::int64_t> marks(n + 1, 0);  // +1 where a stretch around a peak begins, -1 behind it
    for (std::size_t b = 0; b < n; ++b) {
      if (!(white[b] > kClip * noise[b])) continue;
      const auto side = static_cast<std::size_t>(std::max(1.0, std::ceil(kGuard * bins.width[b] / bins.step[b])));
      ++marks[b > side ? b - side : 0];
      --marks[std::min(n, b + side + 1)];
    }
    std::int64_t open = 0;
    for (std::size_t b = 0; b < n; ++b) {
      open += marks[b];
      quiet[b] = open == 0 ? 1 : 0;
    }
    noise = running_level(white, quiet, segment, &noise);
  }
  for (std::size_t b = 0; b < n; ++b) {
    const double gain_here = fits.amplitude_gain[b];
    noise[b] = std::isfinite(gain_here) ? noise[b] * gain_here : gain_here;
  }
  return noise;
}

}  // namespace imn::images
