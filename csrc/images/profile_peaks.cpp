#include "images/profile_peaks.h"

#include <algorithm>
#include <cmath>

namespace imn::images {
namespace {

constexpr std::size_t kSegment = 512;  // bins that share a noise level, estimated from three times as many
constexpr double kFoot = 0.1;          // share of the height where a window ends

double median_absolute(std::vector<double>& values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// One value per bin, that of its segment: of(from, to) over the bins of the segment and its neighbours.
template <typename T, typename Of>
std::vector<T> by_block(std::size_t n, Of&& of) {
  std::vector<T> values(n);
  for (std::size_t segment = 0; segment < n; segment += kSegment) {
    const std::size_t from = segment >= kSegment ? segment - kSegment : 0;
    const T value = of(from, std::min(n, segment + 2 * kSegment));
    std::fill(values.begin() + static_cast<std::ptrdiff_t>(segment),
              values.begin() + static_cast<std::ptrdiff_t>(std::min(n, segment + kSegment)), value);
  }
  return values;
}

}  // namespace

std::vector<double> running_noise(const std::vector<double>& curve) {
  std::vector<double> differences;
  return by_block<double>(curve.size(), [&](std::size_t from, std::size_t to) {
    differences.clear();
    for (std::size_t i = from + 1; i < to; ++i) {
      // In files without a noise floor, empty stretches do not show the noise of the signal.
      if (curve[i] != 0.0 || curve[i - 1] != 0.0) differences.push_back(std::abs(curve[i] - curve[i - 1]));
    }
    return 1.4826 * median_absolute(differences) / std::sqrt(2.0);
  });
}

std::vector<char> without_floor(const std::vector<double>& curve) {
  return by_block<char>(curve.size(), [&](std::size_t from, std::size_t to) {
    std::size_t empty = 0;
    for (std::size_t i = from + 1; i < to; ++i) {
      if (curve[i] == 0.0 && curve[i - 1] == 0.0) ++empty;
    }
    return static_cast<char>(2 * empty > to - from);
  });
}

std::vector<ProfilePeak> profile_peaks(const std::vector<double>& curve, const std::vector<double>& threshold) {
  const std::size_t n = curve.size();
  std::vector<ProfilePeak> peaks;
  if (n == 0) return peaks;
  // Hysteresis: a maximum is settled once the curve has fallen by the threshold below it, a valley once it has risen.
  // Outside the axis the curve is taken as 0, so a peak at the rim counts.
  const auto value = [&](std::size_t i) { return i < n ? curve[i] : 0.0; };
  bool rising = true;
  std::size_t top = 0;
  std::size_t valley = 0;
  double valley_height = std::min(0.0, curve[0]);
  bool at_rim = true;                // the valley is the rim, not a bin
  std::vector<std::size_t> valleys;  // behind each peak: its last bin
  for (std::size_t i = 0; i <= n; ++i) {
    const double y = value(i);
    if (rising) {
      if (i < n && y > value(top)) top = i;
      const double least = threshold[top];
      if (curve[top] - y >= least && curve[top] > y) {
        if (curve[top] - valley_height >= least && curve[top] > valley_height) {
          peaks.push_back({top, at_rim ? 0 : valley, top, valley_height, 0.0});
          valleys.push_back(std::min(i, n - 1));
          valley_height = y;
          rising = false;
          valley = std::min(i, n - 1);
          at_rim = false;
        } else if (y < valley_height) {
          valley = std::min(i, n - 1);
          valley_height = y;
          top = valley;
        }
      } else if (y < valley_height) {
        valley = i;
        valley_height = y;
        top = std::min(i, n - 1);
      }
    } else {
      if (y <= valley_height) {
        valley_height = y;
        valley = std::min(i, n - 1);
      }
      if (i < n && y - valley_height >= threshold[i] && y > valley_height) {
        peaks.back().right = valley_height;
        valleys.back() = valley;
        rising = true;
        top = i;
      }
    }
  }
  if (!peaks.empty() && !rising) {
    peaks.back().right = valley_height;
    valleys.back() = valley;
  } else if (!peaks.empty()) {
    // The curve rose after the last peak without forming another: `valley` is still the one behind that peak.
    peaks.back().right = std::min(peaks.back().right, valley_height);
  }
  for (std::size_t p = 0; p < peaks.size(); ++p) {
    ProfilePeak& peak = peaks[p];
    const double height = curve[peak.apex];
    // A valley bin between two peaks belongs to the left one.
    const std::size_t begin = p == 0 ? peak.first : std::min(peak.apex, valleys[p - 1] + 1);
    const std::size_t end = std::max(peak.apex, valleys[p]);
    const double left_foot = peak.left + kFoot * (height - peak.left);
    const double right_foot = peak.right + kFoot * (height - peak.right);
    peak.first = peak.last = peak.apex;
    while (peak.first > begin && curve[peak.first - 1] > left_foot) --peak.first;
    while (peak.last < end && curve[peak.last + 1] > right_foot) ++peak.last;
  }
  return peaks;
}

}  // namespace imn::images
