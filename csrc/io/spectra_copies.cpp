// Finding spectra that repeat an earlier one value for value.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/parallel_for.h"
#include "io/spectra.h"

namespace imn::io {

namespace {

constexpr std::int64_t kGrain = 64;

std::uint64_t add_word(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 29);
}

std::uint64_t add_bytes(std::uint64_t hash, const std::byte* data, std::int64_t n) {
  std::int64_t at = 0;
  for (; at + 8 <= n; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + at, 8);
    hash = add_word(hash, word);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, data + at, static_cast<std::size_t>(n - at));
  return add_word(hash, rest);
}

// A few pieces of an array: most spectra differ there, and reading them touches few pages.
std::uint64_t add_pieces(std::uint64_t hash, const Bytes& ibd, const ArrayRef& array) {
  constexpr std::int64_t kPieces = 4, kBytes = 32;
  const auto add = [&](std::int64_t at, std::int64_t n) {
    const Held held = ibd.hold(array.offset + at, n);
    hash = add_bytes(hash, held.bytes().data(), n);
  };
  if (array.bytes <= kPieces * kBytes) {
    add(0, array.bytes);
  } else {
    for (std::int64_t k = 0; k < kPieces; ++k) add((array.bytes - kBytes) * k / (kPieces - 1), kBytes);
  }
  return hash;
}

// Groups of two or more entries with equal hashes, each in ascending order of the spectrum; `items` are (hash,
// spectrum).
template <typename Visit>
void each_group(std::vector<std::pair<std::uint64_t, std::int64_t>>& items, const Visit& visit) {
  std::sort(items.begin(), items.end());
  for (auto begin = items.begin(); begin != items.end();) {
    const auto end = std::find_if(begin, items.end(), [&](const auto& item) { return item.first != begin->first; });
    if (end - begin > 1) visit(begin, end);
    begin = end;
  }
}

// The binary digits that intensities carry, up to `enough`; 0 where all are equal. A count of 3 carries two, a measured
// float32 about 24: with few digits, spectra are equal by chance.
int digits(const std::vector<double>& values, int enough) {
  int sum = 0;
  bool varied = values.size() == 1;
  for (const double value : values) {
    varied = varied || value != values.front();
    if (value == 0.0 || !std::isfinite(value)) continue;
    int exponent = 0;
    const auto mantissa = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(value), &exponent), 53));
    sum += 53 - std::countr_zero(mantissa);
    if (varied && sum >= enough) return sum;
  }
  return varied ? sum : 0;
}

}  // namespace

std::vector<std::int64_t> Spectra::copies(int threads, const std::atomic<bool>* cancel) const {
  if (source_) return {};
  struct Item {
    ArrayRef mz, intensity;
    bool own_mz;
  };
  const bool processed = layout_.mode == Mode::processed;
  const auto arrays = [&](std::int64_t s) { return Item{layout_.mz[s], layout_.intensity[s], processed}; };
  const auto add_format = [](std::uint64_t hash, const ArrayRef& array) {
    return add_word(add_word(hash, static_cast<std::uint64_t>(array.length)),
                    static_cast<std::uint64_t>(array.type) | (array.zlib ? 0x100U : 0U));
  };
  std::vector<std::pair<std::uint64_t, std::int64_t>> quick(static_cast<std::size_t>(size_));
  parallel_for(
      size_, kGrain, threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        for (auto s = begin; s < end; ++s) {
          const ArrayRef intensity = layout_.intensity[s];
          const std::uint64_t hash = add_pieces(add_format(0, intensity), ibd_, intensity);
          quick[static_cast<std::size_t>(s)] = {hash, s};
        }
      },
      cancel);
  std::erase_if(quick, [&](const auto& item) { return layout_.intensity.length(item.second) == 0; });
  std::vector<std::pair<std::uint64_t, std::int64_t>> alike;
  each_group(quick, [&](auto begin, auto end) { alike.insert(alike.end(), begin, end); });

  parallel_for(
      static_cast<std::int64_t>(alike.size()), kGrain, threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        for (auto k = begin; k < end; ++k) {
          auto& [hash, s] = alike[static_cast<std::size_t>(k)];
          const Item item = arrays(s);
          const auto add = [&](const ArrayRef& array) {
            const Held held = ibd_.hold(array.offset, array.bytes);
            hash = add_bytes(hash, held.bytes().data(), array.bytes);
          };
          add(item.intensity);
          if (!item.own_mz) continue;
          hash = add_format(hash, item.mz);
          add(item.mz);
        }
      },
      cancel);
  ibd_.require_pages();

  std::vector<std::int64_t> repeats(static_cast<std::size_t>(size_), -1);
  bool any = false;
  // Twice as many digits as it takes to number the pairs of spectra, and some more.
  const int enough = 2 * std::bit_width(static_cast<std::uint64_t>(size_)) + 8;
  std::vector<double> values;
  each_group(alike, [&](auto begin, auto end) {
    throw_if_cancelled(cancel);
    const std::int64_t original = begin->second;
    const Item first = arrays(original);
    const auto same = [&](const ArrayRef& a, const ArrayRef& b) {
      if (a.bytes != b.bytes || a.offset == b.offset) return a.bytes == b.bytes;
      const Held one = ibd_.hold(a.offset, a.bytes), two = ibd_.hold(b.offset, b.bytes);
      return std::memcmp(one.bytes().data(), two.bytes().data(), one.bytes().size()) == 0;
    };
    values.resize(static_cast<std::size_t>(first.intensity.length));
    try {
      read_values(first.intensity, 0, first.intensity.length, values.data());
    } catch (const ArrayError&) {
      return;  // reading the spectrum reports it
    }
    const int found = digits(values, enough);
    for (auto item = begin + 1; item != end; ++item) {
      const Item other = arrays(item->second);
      const bool one_array = other.intensity.offset == first.intensity.offset;
      if (found < (one_array ? 1 : enough) || !same(first.intensity, other.intensity)) continue;
      if (first.own_mz && !same(first.mz, other.mz)) continue;
      repeats[static_cast<std::size_t>(item->second)] = original;
      any = true;
    }
  });
  ibd_.require_pages();
  if (!any) repeats.clear();
  return repeats;
}

std::vector<std::int64_t> Spectra::borrowed_intensities() const {
  std::vector<std::int64_t> found;
  if (layout_.mode != Mode::processed || source_) return found;
  // Offsets nearly always ascend; only otherwise can two be equal.
  bool ascend = true;
  std::int64_t before = -1;
  for (std::int64_t s = 0; s < size_ && ascend; ++s) {
    if (layout_.intensity.length(s) == 0) continue;
    const std::int64_t offset = layout_.intensity[s].offset;
    ascend = offset > before;
    before = offset;
  }
  if (ascend) return found;
  std::vector<std::pair<std::uint64_t, std::int64_t>> offsets;
  for (std::int64_t s = 0; s < size_; ++s) {
    if (layout_.intensity.length(s) > 0)
      offsets.emplace_back(static_cast<std::uint64_t>(layout_.intensity[s].offset), s);
  }
  std::vector<double> values;
  each_group(offsets, [&](auto begin, auto end) {
    const ArrayRef shared = layout_.intensity[begin->second];
    values.resize(static_cast<std::size_t>(shared.length));
    try {
      read_values(shared, 0, shared.length, values.data());
    } catch (const ArrayError&) {
      return;  // reading the spectrum reports it
    }
    if (digits(values, 1) == 0) return;  // a constant array may be stored once on purpose
    for (auto item = begin + 1; item != end; ++item) {
      if (layout_.mz[item->second].offset != layout_.mz[begin->second].offset) found.push_back(item->second);
    }
  });
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace imn::io
