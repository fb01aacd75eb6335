// Spatial chaos on a device: the levels of an image, and their closing. See core/cuda/block.h.
#pragma once

#include <cstdint>

#include "core/cuda/block.h"
#include "core/float_bits.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"
#include "preprocess/quantile.h"
#include "score/chaos_level.h"
#include "score/chaos_plane.h"

namespace imn::score {

// chaos_level(normalise(x, by)) without a division. The product x * (29 / by) differs from the value that chaos_level()
// rounds up by less than kUnsure, so only values this close to a whole number need the exact arithmetic.
class LevelOf {
 public:
  IMN_HOST_DEVICE explicit LevelOf(float by) : by_(by), scale_(static_cast<float>(kChaosLevels - 1) / by) {}

  IMN_HOST_DEVICE std::uint32_t at(float x) const {
    constexpr float kWhole = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    constexpr float kUnsure = 2e-5F;
    if (!(x > 0.0F)) return 0;
    if (x >= by_) return kChaosLevels - 1;
    const float scaled = x * scale_;
    const float shifted = scaled + kWhole;
    const float above = scaled - (shifted - kWhole);
    if (above < kUnsure && above > -kUnsure) return static_cast<std::uint32_t>(chaos_level(x / by_));
    return (float_bits(shifted) & 63U) + (above > 0.0F ? 1U : 0U);
  }

 private:
  float by_, scale_;
};

// Writes the closed image of levels to planes.levels; 0 where not measured.
template <typename Block, typename Label>
IMN_DEVICE_CODE void close_levels(Block& block, const preprocess::GlobalImage& pixels, float by,
                                  const ChaosPlane& plane, const ChaosPlanes<Label>& planes) {
  constexpr int kAhead = 3;
  const int across = plane.row_words();
  const int words = plane.words();
  std::uint32_t* levels = planes.levels;
  auto* dilated = reinterpret_cast<std::uint32_t*>(planes.labels) + 1;
  const int part = (words + 2 + kAhead - 1) / kAhead;
  const LevelOf level_of(by);
  block.for_each(part, [&](int i) {
    float pixel[kAhead][4];
    for (int k = 0; k < kAhead; ++k) {
      const int word = i + k * part - 1;
      const int row = word < 0 ? 0 : word / across;
      const int column = 4 * (word - row * across);
      const bool inside = row > 0 && row <= plane.height;
      for (int c = 0; c < 4; ++c) {
        pixel[k][c] = inside && column + c < plane.width ? pixels.at((row - 1) * plane.width + column + c)
                                                         : preprocess::kNotMeasured;
      }
    }
    for (int k = 0; k < kAhead; ++k) {
      std::uint32_t four = 0;
      for (int c = 0; c < 4; ++c) {
        const float x = pixel[k][c];
        const std::uint32_t level = x == x ? level_of.at(x) : kNotInside;
        four |= level << (8 * c);
      }
      if (i + k * part < words + 2) levels[i + k * part - 1] = four;
    }
  });
  block.for_each(words + 2, [&](int i) {
    const int w = i - 1;
    std::uint32_t most = ~kHighBits;
    if (w >= across && w < words - across) {
      const std::uint32_t marked = levels[w];
      const std::uint32_t here = marked & ~kHighBits;
      const std::uint32_t sides =
          higher(to_left(levels[w - 1] & ~kHighBits, here), to_right(here, levels[w + 1] & ~kHighBits));
      const std::uint32_t ends = higher(levels[w - across] & ~kHighBits, levels[w + across] & ~kHighBits);
      most = higher(here, higher(sides, ends)) | (spread(marked & kHighBits) & ~kHighBits);
    }
    dilated[w] = most;
  });
  block.for_each(words, [&](int w) {
    std::uint32_t least = 0;
    if (w >= across && w < words - across) {
      const auto of_row = [&](int at) {
        const std::uint32_t here = dilated[at];
        return lower(here, lower(to_left(dilated[at - 1], here), to_right(here, dilated[at + 1])));
      };
      least = lower(of_row(w), lower(of_row(w - across), of_row(w + across)));
      // Levels are below 64; kPassedOver is not.
      least &= ~spread((dilated[w] << 1U) & kHighBits);
    }
    levels[w] = least;
  });
  block.for_each(2, [&](int i) { levels[i == 0 ? -1 : words] = 0; });
}

}  // namespace imn::score
