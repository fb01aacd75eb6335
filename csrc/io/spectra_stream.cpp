// Copying parts of arrays for a device.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/stream_copy.h"
#include "io/spectra.h"

namespace imn::io {

PeakRange Spectra::find_peaks(std::int64_t s, double lo, double hi, PeakRange before) const {
  ArrayRef mz = layout_.mz[s];
  if (mz.length == 0 || !(lo <= hi)) return {0, 0};
  if (ascending_[static_cast<std::size_t>(s)].load(std::memory_order_relaxed) == 0) {
    mz.length = ascending_until(ibd_.mapping(), mz, before.last, hi);
    if (mz.length < 0) refuse_mz(s);
  }
  const std::int64_t first = lower_bound_near(ibd_.mapping(), mz, before.last, lo);
  const std::int64_t last = upper_bound_near(ibd_.mapping(), mz, first + (before.last - before.first), hi);
  ibd_.require_pages();
  return {first, last};
}

void Spectra::check_further_peaks(std::int64_t s, PeakRange before) const {
  auto& ascending = ascending_[static_cast<std::size_t>(s)];
  if (ascending.load(std::memory_order_relaxed) != 0) return;
  const ArrayRef mz = layout_.mz[s];
  if (ascending_until(ibd_.mapping(), mz, before.last, std::numeric_limits<double>::max()) != mz.length) refuse_mz(s);
  ibd_.require_pages();
  ascending.store(1, std::memory_order_relaxed);
}

void Spectra::refuse_mz(std::int64_t s) const {
  std::vector<double> all;
  read_all_mz(s, all);
  fail(s, "its m/z values changed while they were read");
}

template <typename T>
void Spectra::stream(std::int64_t s, Values values, std::int64_t first, std::int64_t last, T* out) const {
  if (!streams_)
    throw ArgumentError("compressed values, or values to be repaired, cannot be copied without conversion");
  const ArrayRef array = values == Values::mz ? layout_.mz[s] : layout_.intensity[s];
  if (array.length == 0 && layout_.mode == Mode::continuous && values == Values::intensity) {
    std::fill(out, out + (last - first), T{0});
    return;
  }
  if (first < 0 || last > array.length || first > last) {
    throw ArgumentError("values " + std::to_string(first) + " to " + std::to_string(last) +
                        " are out of range: the spectrum has " + std::to_string(array.length));
  }
  const bool finite = stream_array(ibd_.mapping(), array, first, last, out);
  ibd_.require_pages();
  if (finite || values == Values::mz) return;
  std::replace_if(out, out + (last - first), [](T value) { return !std::isfinite(value); }, T{0});
  count_zeroed(s);
}

template void Spectra::stream<float>(std::int64_t, Values, std::int64_t, std::int64_t, float*) const;
template void Spectra::stream<double>(std::int64_t, Values, std::int64_t, std::int64_t, double*) const;

void Spectra::prefetch(std::int64_t s, Values values, std::int64_t first, std::int64_t last) const {
  const ArrayRef array = values == Values::mz ? layout_.mz[s] : layout_.intensity[s];
  first = std::clamp<std::int64_t>(first, 0, array.length);
  last = std::clamp(last, first, array.length);
  const std::int64_t size = size_of(array.type);
  imn::prefetch(ibd_.mapping().data() + array.offset + first * size, (last - first) * size);
}

}  // namespace imn::io
