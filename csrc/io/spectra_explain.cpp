// Why m/z values make no sense: mistakes of writers that another reading of the same bytes gives away.
#include <algorithm>
#include <cstddef>

#include "core/error.h"
#include "io/spectra.h"

namespace imn::io {

namespace {

constexpr std::int64_t kFewest = 4;              // values of an array below which an order can be chance
constexpr double kLowest = 1.0, kHighest = 1e7;  // m/z outside of this is no m/z

// Whether the values ascend, within what m/z can be.
bool plausible_mz(std::span<const double> values) {
  return std::is_sorted(values.begin(), values.end()) && values.front() >= kLowest && values.back() <= kHighest &&
         values.front() < values.back();
}

bool begins_as_zlib(const Bytes& ibd, std::int64_t offset) {
  if (offset < 0 || offset + 1 >= ibd.size()) return false;
  const Held held = ibd.hold(offset, 2);
  const auto first = std::to_integer<unsigned>(held.bytes()[0]);
  const auto second = std::to_integer<unsigned>(held.bytes()[1]);
  return first == 0x78U && (first * 256U + second) % 31U == 0U;
}

}  // namespace

std::string Spectra::explain_mz(std::int64_t s, const std::string& cause) const {
  const ArrayRef mz = layout_.mz[s], intensity = layout_.intensity[s];
  if (mz.zlib || mz.length < kFewest) return cause;
  if (begins_as_zlib(ibd_, mz.offset) && begins_as_zlib(ibd_, intensity.offset)) {
    return "its arrays are zlib-compressed, but the header does not say so; correct the compression terms";
  }
  const std::int64_t size = size_of(mz.type);
  std::vector<std::byte> turned(static_cast<std::size_t>(mz.length * size));
  const Held held = ibd_.hold(mz.offset, mz.length * size);
  std::copy_n(held.bytes().data(), turned.size(), turned.data());
  for (auto at = turned.begin(); at != turned.end(); at += size) std::reverse(at, at + size);
  ArrayRef there = mz;
  there.offset = 0;
  std::vector<double> values(static_cast<std::size_t>(mz.length));
  read_array(turned, there, 0, there.length, values.data());
  if (size > 1 && plausible_mz(values)) {
    return "its m/z values ascend only if read as big-endian, and imzML wants little-endian byte order; export the "
           "file again";
  }
  if (!overlapping().empty()) {
    return cause + "; arrays of this file overlap, so its offsets or lengths are wrong, and only a new export helps";
  }
  if (intensity.zlib || intensity.length < kFewest) return cause;
  values.resize(static_cast<std::size_t>(intensity.length));
  read_values(intensity, 0, intensity.length, values.data());
  if (plausible_mz(values)) {
    return "its intensities ascend and its m/z values do not, as if the terms for m/z array and intensity array were "
           "exchanged; exchange them in the header, or export the file again";
  }
  return cause;
}

}  // namespace imn::io
