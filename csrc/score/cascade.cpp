#include "score/cascade.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "score/statistics.h"

namespace imn::score {
namespace {

std::int64_t count_measured(const ImageStack& stack, std::int64_t image) {
  const float* values = stack.image(image);
  std::int64_t measured = 0;
  for (std::int64_t i = 0; i < stack.pixels(); ++i) {
    measured += (stack.mask == nullptr || stack.mask[i] != 0) && values[i] == values[i] ? 1 : 0;
  }
  return measured;
}

}  // namespace

void check_cascade(const Cascade& cascade) {
  for (const double limit : {cascade.moran_z, cascade.blur}) {
    if (!(limit > 0.0) || !std::isfinite(limit)) throw ArgumentError("the limits of a cascade must be positive");
  }
}

void find_noise(const ImageStack& stack, const Cascade& cascade, int threads, float* reach) {
  constexpr std::array<Statistic, 2> wanted{Statistic::moran, Statistic::blur};
  std::vector<float> found(static_cast<std::size_t>(stack.n) * wanted.size());
  image_statistics(stack, wanted, threads, found.data());
  for (std::int64_t i = 0; i < stack.n; ++i) {
    const double moran = found[static_cast<std::size_t>(2 * i)];
    const double blur = found[static_cast<std::size_t>(2 * i + 1)];
    const std::int64_t measured = count_measured(stack, i);
    const double z = moran * std::sqrt(2.0 * static_cast<double>(measured));
    // The blur of an image that is not constant is above 0.
    const bool noise = measured >= kLeastPixels && z <= cascade.moran_z && blur > 0.0 && blur <= cascade.blur;
    reach[i] = noise ? static_cast<float>(std::max({0.0, z / cascade.moran_z, blur / cascade.blur}))
                     : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace imn::score
