#include "images/profile_width.h"

#include <algorithm>
#include <cmath>

#include "images/upper_median.h"

namespace imn::images {
namespace {

// White noise wanders over six to seven standard deviations between a maximum and the next minimum within 10^5 bins.
constexpr double kNoises = 8.0;
constexpr std::size_t kSegment = 512;    // bins that share a noise level, estimated from three times as many
constexpr std::size_t kMostPeaks = 512;  // highest maxima that the width is learnt from
constexpr std::size_t kFewestPeaks = 8;  // for a slope over m/z
constexpr double kLeastRange = 0.2;      // of ln(m/z), for a slope
constexpr double kMostPower = 3.0;
constexpr double kSpread = 1.6;  // widths that differ by more from the law belong to something else
constexpr int kRounds = 3;
constexpr double kBinsOfUnknown = 4.0;

struct Measured {
  double height;
  double mz;
  double width;
};

// Full width at half of the height over `valley`, interpolated; 0 where the curve does not fall that far.
double half_height_width(std::span<const double> mz, std::span<const double> curve, std::size_t top, double valley) {
  const double half = valley + 0.5 * (curve[top] - valley);
  std::size_t left = top;
  while (left > 0 && curve[left - 1] > half) --left;
  std::size_t right = top;
  while (right + 1 < curve.size() && curve[right + 1] > half) ++right;
  if (left == 0 || right + 1 == curve.size()) return 0.0;
  const double below = mz[left] + (curve[left] - half) / (curve[left] - curve[left - 1]) * (mz[left - 1] - mz[left]);
  const double above =
      mz[right] + (curve[right] - half) / (curve[right] - curve[right + 1]) * (mz[right + 1] - mz[right]);
  return above - below;
}

// Median of the slopes between pairs at least a tenth of the range apart (Theil and Sen); 1 for few points.
double slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() < kFewestPeaks) return 1.0;
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double range = *high - *low;
  if (range < kLeastRange) return 1.0;
  std::vector<double> slopes;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = i + 1; j < x.size(); ++j) {
      if (std::abs(x[j] - x[i]) >= 0.1 * range) slopes.push_back((y[j] - y[i]) / (x[j] - x[i]));
    }
  }
  return std::clamp(upper_median(slopes), 0.0, kMostPower);
}

}  // namespace

double WidthLaw::at(double mz) const { return at_one * std::pow(mz, power); }

std::vector<double> running_noise(std::span<const double> curve) {
  const std::size_t n = curve.size();
  std::vector<double> noise(n);
  std::vector<double> differences;
  for (std::size_t segment = 0; segment < n; segment += kSegment) {
    const std::size_t from = segment >= kSegment ? segment - kSegment : 0;
    const std::size_t to = std::min(n, segment + 2 * kSegment);
    differences.clear();
    for (std::size_t i = from + 1; i < to; ++i) {
      // In files without a noise floor, empty stretches do not show the noise of the signal.
      if (curve[i] != 0.0 || curve[i - 1] != 0.0) differences.push_back(std::abs(curve[i] - curve[i - 1]));
    }
    std::fill(noise.begin() + static_cast<std::ptrdiff_t>(segment),
              noise.begin() + static_cast<std::ptrdiff_t>(std::min(n, segment + kSegment)),
              1.4826 * upper_median(differences) / std::sqrt(2.0));
  }
  return noise;
}

std::vector<std::pair<std::size_t, double>> settled_maxima(std::span<const double> curve,
                                                           std::span<const double> threshold) {
  const std::size_t n = curve.size();
  std::vector<std::pair<std::size_t, double>> found;
  if (n == 0) return found;
  // Hysteresis: a maximum is settled once the curve has fallen by the threshold below it, a valley once it has risen.
  bool rising = true;
  std::size_t top = 0;
  double valley = std::min(0.0, curve[0]);
  for (std::size_t i = 0; i <= n; ++i) {
    const double y = i < n ? curve[i] : 0.0;
    if (rising) {
      if (i < n && y > curve[top]) top = i;
      const double drop = curve[top] - y;
      const double rise = curve[top] - valley;
      if (drop >= threshold[top] && drop > 0.0 && rise >= threshold[top] && rise > 0.0) {
        found.emplace_back(top, valley);
        valley = y;
        rising = false;
      } else if (y < valley) {
        valley = y;
        top = std::min(i, n - 1);
      }
    } else {
      valley = std::min(valley, y);
      if (i < n && y - valley >= threshold[i] && y > valley) {
        found.back().second = std::max(found.back().second, valley);
        top = i;
        rising = true;
      }
    }
  }
  if (!found.empty() && !rising) found.back().second = std::max(found.back().second, valley);
  return found;
}

WidthLaw learn_width(std::span<const double> mz, std::span<const double> curve) {
  std::vector<double> threshold = running_noise(curve);
  for (double& level : threshold) level *= kNoises;
  std::vector<Measured> peaks;
  for (const auto& [top, valley] : settled_maxima(curve, threshold)) {
    const double width = half_height_width(mz, curve, top, valley);
    if (width > 0.0) peaks.push_back({curve[top] - valley, mz[top], width});
  }
  if (peaks.empty()) {
    std::vector<double> steps;
    for (std::size_t b = 1; b < mz.size(); ++b) steps.push_back((mz[b] - mz[b - 1]) / mz[b]);
    return {kBinsOfUnknown * (steps.empty() ? 1e-5 : upper_median(steps)), 1.0, 0};
  }
  std::sort(peaks.begin(), peaks.end(), [](const Measured& a, const Measured& b) {
    return a.height != b.height ? a.height > b.height : a.mz < b.mz;
  });
  if (peaks.size() > kMostPeaks) peaks.resize(kMostPeaks);
  std::vector<char> kept(peaks.size(), 1);
  WidthLaw law{0.0, 1.0, 0};
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> x;
    std::vector<double> y;
    for (std::size_t p = 0; p < peaks.size(); ++p) {
      if (kept[p] == 0) continue;
      x.push_back(std::log(peaks[p].mz));
      y.push_back(std::log(peaks[p].width));
    }
    law.power = slope_of(x, y);
    for (std::size_t p = 0; p < x.size(); ++p) y[p] -= law.power * x[p];
    const double level = upper_median(y);
    law.at_one = std::exp(level);
    law.peaks = 0;
    for (std::size_t p = 0; p < peaks.size(); ++p) {
      const double rest = std::log(peaks[p].width) - law.power * std::log(peaks[p].mz) - level;
      kept[p] = std::abs(rest) <= std::log(kSpread) ? 1 : 0;
      law.peaks += static_cast<std::size_t>(kept[p]);
    }
  }
  return law;
}

}  // namespace imn::images
