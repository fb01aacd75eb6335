#include "pick/pixels.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace imn::pick {

namespace {

constexpr std::int64_t kRadius = 2;
// Share of the measured pixels without a neighbour above which an image has hardly a morphology.
constexpr double kMostAlone = 0.5;
constexpr const char* kRemedy =
    "score it with a classical statistic, --scorer moran --top N (Python: scorer=\"moran\", top=N)";

std::int64_t count(const MaskView& mask) {
  return std::accumulate(mask.measured.begin(), mask.measured.end(), std::int64_t{0});
}

std::string percent(double share) {
  return std::to_string(static_cast<std::int64_t>(std::nearbyint(100.0 * share))) + "%";
}

// Share of the measured pixels that have no measured neighbour to the left, right, above or below.
double share_alone(const MaskView& mask) {
  const auto at = [&](std::int64_t y, std::int64_t x) {
    const bool inside = y >= 0 && y < mask.height && x >= 0 && x < mask.width;
    return inside && mask.measured[static_cast<std::size_t>(y * mask.width + x)] != 0;
  };
  std::int64_t alone = 0;
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (std::int64_t x = 0; x < mask.width; ++x) {
      alone += at(y, x) && !at(y - 1, x) && !at(y + 1, x) && !at(y, x - 1) && !at(y, x + 1);
    }
  }
  return static_cast<double>(alone) / static_cast<double>(std::max<std::int64_t>(1, count(mask)));
}

}  // namespace

double fill(const MaskView& mask) {
  const std::int64_t stride = mask.width + 1;
  // Sums over all pixels above and to the left.
  std::vector<std::int64_t> sums(static_cast<std::size_t>((mask.height + 1) * stride));
  for (std::int64_t y = 0; y < mask.height; ++y) {
    std::int64_t row = 0;
    for (std::int64_t x = 0; x < mask.width; ++x) {
      row += mask.measured[static_cast<std::size_t>(y * mask.width + x)];
      sums[static_cast<std::size_t>((y + 1) * stride + x + 1)] =
          sums[static_cast<std::size_t>(y * stride + x + 1)] + row;
    }
  }
  double total = 0.0;
  for (std::int64_t y = 0; y < mask.height; ++y) {
    const std::int64_t y0 = std::max<std::int64_t>(0, y - kRadius), y1 = std::min(mask.height, y + kRadius + 1);
    for (std::int64_t x = 0; x < mask.width; ++x) {
      if (mask.measured[static_cast<std::size_t>(y * mask.width + x)] == 0) continue;
      const std::int64_t x0 = std::max<std::int64_t>(0, x - kRadius), x1 = std::min(mask.width, x + kRadius + 1);
      const auto sum = [&](std::int64_t a, std::int64_t b) { return sums[static_cast<std::size_t>(a * stride + b)]; };
      const std::int64_t around = sum(y1, x1) - sum(y0, x1) - sum(y1, x0) + sum(y0, x0);
      total += static_cast<double>(around) / static_cast<double>((y1 - y0) * (x1 - x0));
    }
  }
  const std::int64_t n = count(mask);
  return n == 0 ? 0.0 : total / static_cast<double>(n);
}

std::string too_few(const MaskView& mask) {
  const std::int64_t n = count(mask);
  if (n < kFewestPixels) {
    return (n == 1 ? "1 measured pixel is" : std::to_string(n) + " measured pixels are") +
           std::string(" too few for the network, which needs ") + std::to_string(kFewestPixels) + "; " + kRemedy;
  }
  const double filled = fill(mask);
  if (filled >= kLeastFill) return "";
  return "the " + std::to_string(n) + " measured pixels are scattered over " + std::to_string(mask.height) + " x " +
         std::to_string(mask.width) + " pixels: on average " + percent(filled) +
         " of the 5 x 5 pixels around one are measured, and below " + percent(kLeastFill) +
         " the network takes the gaps for structure; check whether the coordinates are those of a stage, or " + kRemedy;
}

std::vector<std::string> cautions(const MaskView& mask, bool network) {
  const std::int64_t n = count(mask);
  std::vector<std::string> texts;
  if (n < (network ? kComfortablePixels : kFewestPixels)) {
    texts.push_back("only " + std::to_string(n) + " pixels are measured, and " +
                    (network ? "the network misses structures that it would find on a larger section"
                             : "a pattern of so few pixels arises by chance easily") +
                    "; compare the picks with another section");
  }
  const double alone = share_alone(mask);
  if (alone > kMostAlone && n > 1) {
    texts.push_back(percent(alone) +
                    " of the measured pixels have no measured neighbour, so the scores mean little; check whether the "
                    "coordinates are those of a stage");
  } else if (network && fill(mask) < kComfortableFill) {
    texts.push_back(
        "the measured pixels are scattered, so that noise may score as structure; check whether the coordinates are "
        "those of a stage");
  }
  return texts;
}

}  // namespace imn::pick
