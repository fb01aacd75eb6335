#include "preprocess/preprocess_id.h"

#include <charconv>
#include <string_view>
#include <system_error>

#include "core/error.h"

namespace imn::preprocess {
namespace {

// Removes `part` from the front of `text`; returns whether it was there.
bool take(std::string_view& text, std::string_view part) {
  if (!text.starts_with(part)) return false;
  text.remove_prefix(part.size());
  return true;
}

}  // namespace

PreprocessId parse_preprocess_id(const std::string& id) {
  PreprocessId parsed;
  std::string_view left = id;
  bool valid = take(left, "p99-");
  if (take(left, "area-")) {
    parsed.resize = Resize::area;
  } else {
    valid = valid && take(left, "stretch-");
  }
  const auto [end, error] = std::from_chars(left.data(), left.data() + left.size(), parsed.size);
  valid = valid && error == std::errc() && left.front() != '0';
  if (valid) left.remove_prefix(static_cast<std::size_t>(end - left.data()));
  parsed.mask = take(left, "-mask");
  parsed.sqrt = take(left, "-sqrt");
  parsed.sample = take(left, "-sample");
  if (!valid || !left.empty() || parsed.size < kSmallestInput || parsed.size > kLargestInput ||
      parsed.size % kInputStep != 0) {
    throw ArgumentError("unknown preprocessing id '" + id + "'; it must be p99-(stretch|area)-SIZE" +
                        "[-mask][-sqrt][-sample] with SIZE a multiple of " + std::to_string(kInputStep) + " from " +
                        std::to_string(kSmallestInput) + " to " + std::to_string(kLargestInput) +
                        ", such as p99-stretch-224-mask");
  }
  return parsed;
}

std::string to_string(const PreprocessId& id) {
  return std::string("p99-") + (id.resize == Resize::area ? "area-" : "stretch-") + std::to_string(id.size) +
         (id.mask ? "-mask" : "") + (id.sqrt ? "-sqrt" : "") + (id.sample ? "-sample" : "");
}

}  // namespace imn::preprocess
