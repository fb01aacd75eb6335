// Reading whole spectra, m/z ranges and bins: the hot path of binning.
#include <algorithm>

#include "core/error.h"
#include "io/spectra.h"

namespace imn::io {

template <typename Body>
void Spectra::named(std::int64_t s, Body&& body) const {
  try {
    body();
    ibd_.require_pages();
  } catch (const MzError& error) {
    ibd_.require_size();  // a page that is gone reads as zeros, which are not valid m/z either
    fail(s, explain_mz(s, error.what()));
  } catch (const ArrayError& error) {
    ibd_.require_size();
    fail(s, error.what());
  }
}

void Spectra::read_values(const ArrayRef& array, std::int64_t first, std::int64_t last, double* out) const {
  if (ibd_.mapped()) return read_array(ibd_.mapping(), array, first, last, out);
  if (first >= last) return;
  ArrayRef part = array;
  if (!array.zlib) {
    part.offset += first * size_of(array.type);
    part.length = last - first;
    part.bytes = part.length * size_of(array.type);
    last -= first;
    first = 0;
  }
  const Held held = ibd_.hold(part.offset, part.bytes);
  part.offset = 0;
  read_array(held.bytes(), part, first, last, out);
}

void Spectra::read_source(std::int64_t s, Spectrum& out) const {
  source_->read(s, out);
  if (!repair_) {
    try {
      check_mz(out.mz);
    } catch (const MzError& error) {
      fail(s, error.what());
    }
  }
  if (zero_non_finite(out.intensity)) count_zeroed(s);
  if (repair_) apply_repair(out);
}

void Spectra::load_axis() const {
  // A call that throws leaves the flag unset, so that every reader of a bad axis gets the error.
  std::call_once(axis_once_, [this] {
    std::int64_t s = 0;
    while (s < size_ && layout_.mz.length(s) == 0) ++s;
    if (s == size_) return;
    const ArrayRef array = layout_.mz[s];
    std::vector<double> mz(static_cast<std::size_t>(array.length));
    named(s, [&] {
      read_values(array, 0, array.length, mz.data());
      if (!repair_) check_mz(mz);
    });
    if (repair_) {
      std::vector<std::int64_t> order = repair_order(mz);
      const bool as_is = order.size() == mz.size() && std::is_sorted(order.begin(), order.end());
      if (!as_is) {
        std::vector<double> repaired(order.size());
        std::transform(order.begin(), order.end(), repaired.begin(),
                       [&](std::int64_t k) { return mz[static_cast<std::size_t>(k)]; });
        mz = std::move(repaired);
        axis_order_ = std::move(order);
      }
    }
    axis_ = std::move(mz);
  });
}

std::span<const double> Spectra::shared_mz() const {
  if (layout_.mode != Mode::continuous) return {};
  load_axis();
  return axis_;
}

std::int64_t Spectra::length(std::int64_t s) const {
  if (source_) return source_->length(s);
  const std::int64_t n = layout_.mz.length(s);
  if (n == 0 || !repair_ || layout_.mode != Mode::continuous) return n;
  return static_cast<std::int64_t>(shared_mz().size());
}

bool Spectra::compressed() const {
  for (std::int64_t s = 0; s < size_ && !source_; ++s) {
    if (layout_.intensity.length(s) > 0) return layout_.intensity[s].zlib;
  }
  return false;
}

// Checks the values unless the file is to be repaired; once per spectrum, because every strip reads every spectrum.
void Spectra::read_all_mz(std::int64_t s, std::vector<double>& out) const {
  const ArrayRef array = layout_.mz[s];
  out.resize(static_cast<std::size_t>(array.length));
  auto& ascending = ascending_[static_cast<std::size_t>(s)];
  named(s, [&] {
    read_values(array, 0, array.length, out.data());
    if (repair_ || ascending.load(std::memory_order_relaxed) != 0) return;
    check_mz(out);
    ascending.store(1, std::memory_order_relaxed);
  });
}

void Spectra::read_intensity(std::int64_t s, std::int64_t first, std::int64_t last, double* out) const {
  if (first >= last) return;
  named(s, [&] { read_values(layout_.intensity[s], first, last, out); });
  if (zero_non_finite({out, static_cast<std::size_t>(last - first)})) count_zeroed(s);
}

void Spectra::count_zeroed(std::int64_t s) const {
  if (zeroed_[static_cast<std::size_t>(s)].exchange(1, std::memory_order_relaxed) != 0) return;
  n_zeroed_.fetch_add(1, std::memory_order_relaxed);
}

void Spectra::read_bins(std::int64_t s, std::int64_t first, std::int64_t last, double* out) const {
  if (layout_.mode != Mode::continuous) throw ArgumentError("only a continuous file can be read by bins");
  const auto bins = static_cast<std::int64_t>(shared_mz().size());
  if (first < 0 || last > bins || first > last) {
    throw ArgumentError("bins " + std::to_string(first) + " to " + std::to_string(last) + " are not on the axis of " +
                        std::to_string(bins) + " bins");
  }
  if (layout_.intensity.length(s) == 0) {
    std::fill(out, out + (last - first), 0.0);
  } else if (axis_order_.empty()) {
    read_intensity(s, first, last, out);
  } else {
    std::vector<double> all(static_cast<std::size_t>(layout_.intensity.length(s)));
    read_intensity(s, 0, layout_.intensity.length(s), all.data());
    for (std::int64_t k = first; k < last; ++k) {
      out[k - first] = all[static_cast<std::size_t>(axis_order_[static_cast<std::size_t>(k)])];
    }
  }
}

void Spectra::apply_repair(Spectrum& out) const {
  const std::vector<std::int64_t> order = repair_order(out.mz);
  if (order.size() == out.mz.size() && std::is_sorted(order.begin(), order.end())) return;
  Spectrum repaired;
  repaired.mz.reserve(order.size());
  repaired.intensity.reserve(order.size());
  for (const std::int64_t k : order) {
    repaired.mz.push_back(out.mz[static_cast<std::size_t>(k)]);
    repaired.intensity.push_back(out.intensity[static_cast<std::size_t>(k)]);
  }
  std::swap(out, repaired);
}

void Spectra::read(std::int64_t s, Spectrum& out) const {
  if (source_) return read_source(s, out);
  const std::int64_t n = length(s);
  out.mz.resize(static_cast<std::size_t>(n));
  out.intensity.resize(static_cast<std::size_t>(n));
  if (n == 0) return;
  if (layout_.mode == Mode::continuous) {
    const auto shared = shared_mz();
    std::copy(shared.begin(), shared.end(), out.mz.begin());
    read_bins(s, 0, n, out.intensity.data());
    return;
  }
  read_all_mz(s, out.mz);
  read_intensity(s, 0, n, out.intensity.data());
  if (repair_) apply_repair(out);
}

void Spectra::read(std::int64_t s, double lo, double hi, Spectrum& out) const {
  auto resize = [&out](std::int64_t n) {
    out.mz.resize(static_cast<std::size_t>(n));
    out.intensity.resize(static_cast<std::size_t>(n));
  };
  if (!(lo <= hi)) return resize(0);
  const ArrayRef mz = source_ ? ArrayRef{} : layout_.mz[s];
  if (mz.length == 0 && !source_) return resize(0);
  if (layout_.mode == Mode::continuous) {
    const auto shared = shared_mz();
    const auto begin = std::lower_bound(shared.begin(), shared.end(), lo);
    const auto end = std::upper_bound(begin, shared.end(), hi);
    resize(end - begin);
    std::copy(begin, end, out.mz.begin());
    return read_bins(s, begin - shared.begin(), end - shared.begin(), out.intensity.data());
  }
  if (repair_ || source_) {  // the order is known only after reading all of it
    read(s, out);
    const auto begin = std::lower_bound(out.mz.begin(), out.mz.end(), lo) - out.mz.begin();
    const auto end = std::upper_bound(out.mz.begin() + begin, out.mz.end(), hi) - out.mz.begin();
    std::copy(out.mz.begin() + begin, out.mz.begin() + end, out.mz.begin());
    std::copy(out.intensity.begin() + begin, out.intensity.begin() + end, out.intensity.begin());
    return resize(end - begin);
  }
  std::int64_t first = 0, last = 0;
  // Bisecting values that do not ascend would silently miss some, so the first range reads and checks all of them.
  if (mz.zlib || !ibd_.mapped() || ascending_[static_cast<std::size_t>(s)].load(std::memory_order_relaxed) == 0) {
    read_all_mz(s, out.mz);
    first = std::lower_bound(out.mz.begin(), out.mz.end(), lo) - out.mz.begin();
    last = std::upper_bound(out.mz.begin() + first, out.mz.end(), hi) - out.mz.begin();
    std::copy(out.mz.begin() + first, out.mz.begin() + last, out.mz.begin());
    resize(last - first);
  } else {
    named(s, [&] {
      first = lower_bound(ibd_.mapping(), mz, 0, lo);
      last = upper_bound(ibd_.mapping(), mz, first, hi);
      resize(last - first);
      read_array(ibd_.mapping(), mz, first, last, out.mz.data());
    });
  }
  read_intensity(s, first, last, out.intensity.data());
}

bool Spectra::ends(std::int64_t s, double& lo, double& hi) const {
  const ArrayRef mz = source_ ? ArrayRef{} : layout_.mz[s];
  if (mz.length == 0 && !source_) return false;
  if (repair_ || mz.zlib || source_) {
    Spectrum spectrum;
    read(s, spectrum);
    if (spectrum.mz.empty()) return false;
    lo = spectrum.mz.front();
    hi = spectrum.mz.back();
    return true;
  }
  named(s, [&] {
    double both[2];
    read_values(mz, 0, 1, both);
    read_values(mz, mz.length - 1, mz.length, both + 1);
    check_mz(both);
    lo = both[0];
    hi = both[1];
  });
  return true;
}

}  // namespace imn::io
