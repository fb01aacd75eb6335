// PreprocessId: which network input is made of an ion image.
#pragma once

#include <cstdint>
#include <string>

#include "core/host_device.h"

namespace imn::preprocess {

enum class Resize : std::uint8_t {
  stretch,  // bilinear, without antialiasing
  area,     // the same, but where the image shrinks the triangle is as wide as a pixel of the result
};

inline constexpr std::int32_t kSmallestInput = 32;
inline constexpr std::int32_t kLargestInput = 384;
inline constexpr std::int32_t kInputStep = 16;

// Written p99-(stretch|area)-SIZE[-mask][-sqrt][-sample].
struct PreprocessId {
  Resize resize = Resize::stretch;
  std::int32_t size = 224;  // side of the input, a multiple of kInputStep from kSmallestInput to kLargestInput
  bool mask = false;        // a channel: measured pixels; the quantile is over these, otherwise over all pixels
  bool sqrt = false;        // a channel: the square root of the clipped image
  bool sample = false;      // a channel: the sample map of the section

  bool operator==(const PreprocessId&) const = default;

  // Channels are in the order image, mask, sqrt, sample.
  IMN_HOST_DEVICE constexpr std::int32_t channels() const {
    return 1 + (mask ? 1 : 0) + (sqrt ? 1 : 0) + (sample ? 1 : 0);
  }
  IMN_HOST_DEVICE constexpr std::int32_t sqrt_channel() const { return 1 + (mask ? 1 : 0); }
  IMN_HOST_DEVICE constexpr std::int32_t sample_channel() const { return channels() - 1; }
  // Values of one channel, and of one image.
  IMN_HOST_DEVICE constexpr std::int64_t plane() const { return std::int64_t{size} * size; }
  IMN_HOST_DEVICE constexpr std::int64_t values() const { return channels() * plane(); }
};

// Throws ArgumentError, which shows the grammar.
PreprocessId parse_preprocess_id(const std::string& id);
std::string to_string(const PreprocessId& id);

}  // namespace imn::preprocess
