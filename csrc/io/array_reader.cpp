#include "io/array_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>

#include "core/stream_copy.h"

namespace imn::io {

static_assert(std::endian::native == std::endian::little, "ibd files are little-endian and are read without swapping");

namespace {

template <typename T>
void convert(const std::byte* from, std::int64_t n, double* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(value);
  }
}

void convert(DType type, const std::byte* from, std::int64_t n, double* out) {
  if (type == DType::f64) {
    if (n > 0) std::memcpy(out, from, static_cast<std::size_t>(n) * sizeof(double));
    return;
  }
  with_type(type, [&](auto tag) { convert<decltype(tag)>(from, n, out); });
}

// One inflate state per thread: setting it up costs more than reading a short spectrum.
class Inflater {
 public:
  Inflater() {
    if (inflateInit(&stream_) != Z_OK) throw Error("zlib cannot be initialised");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  void start(const std::byte* data, std::int64_t size) {
    if (inflateReset(&stream_) != Z_OK) throw Error("zlib cannot be reset");
    stream_.avail_in = 0;
    next_ = data;
    left_ = size;
  }

  // Up to `capacity` further bytes; fewer only at the end of the data.
  std::int64_t read(std::byte* out, std::int64_t capacity) {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(capacity);
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && left_ > 0) {
        const auto part = static_cast<uInt>(std::min<std::int64_t>(left_, std::int64_t{1} << 30));
        // zlib's interface predates const; it does not write to its input.
        stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(next_));
        stream_.avail_in = part;
        next_ += part;
        left_ -= part;
      }
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) break;
      if (status == Z_BUF_ERROR) throw ArrayError("its zlib data are truncated");
      if (status != Z_OK) throw ArrayError("its zlib data are corrupt");
    }
    return capacity - static_cast<std::int64_t>(stream_.avail_out);
  }

 private:
  z_stream stream_{};
  const std::byte* next_ = nullptr;
  std::int64_t left_ = 0;
};

void read_compressed(const std::byte* data, const ArrayRef& array, std::int64_t first, std::int64_t last, double* out) {
  constexpr std::int64_t kBufferBytes = 32768;  // a multiple of every element size
  alignas(8) std::array<std::byte, kBufferBytes> buffer;
  thread_local Inflater inflater;
  inflater.start(data, array.bytes);
  const std::int64_t size = size_of(array.type);
  const std::int64_t total = array.length * size;
  for (std::int64_t at = 0; at < total;) {
    const std::int64_t got = inflater.read(buffer.data(), std::min(kBufferBytes, total - at));
    if (got == 0 || got % size != 0) throw ArrayError("the zlib data hold fewer values than announced");
    const std::int64_t begin = std::max(first, at / size);
    const std::int64_t end = std::min(last, (at + got) / size);
    if (begin < end) convert(array.type, buffer.data() + (begin * size - at), end - begin, out + (begin - first));
    at += got;
    if (at / size >= last && at < total) return;  // the rest is not asked for
  }
  std::byte more{};
  if (inflater.read(&more, 1) != 0) throw ArrayError("the zlib data hold more values than announced");
}

// Element i of an array of T.
template <typename T>
T value_at(const std::byte* data, std::int64_t i) {
  T value;
  std::memcpy(&value, data + i * std::int64_t{sizeof(T)}, sizeof(T));
  return value;
}

// First element of [low, high) for which `before` does not hold.
template <typename T, typename Before>
std::int64_t bisect(const std::byte* data, std::int64_t low, std::int64_t high, Before before) {
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (before(static_cast<double>(value_at<T>(data, middle)))) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <typename Before>
std::int64_t bisect(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, Before before) {
  const std::byte* data = ibd.data() + array.offset;
  return with_type(array.type, [&](auto tag) { return bisect<decltype(tag)>(data, first, array.length, before); });
}

// Steps away from `near`, each twice as long as the one before, until the element lies between two of them.
template <typename Before>
std::int64_t bisect_near(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t near, Before before) {
  const std::byte* data = ibd.data() + array.offset;
  return with_type(array.type, [&](auto tag) {
    using T = decltype(tag);
    const auto holds = [&](std::int64_t i) { return before(static_cast<double>(value_at<T>(data, i))); };
    std::int64_t low = 0, high = array.length;
    near = std::clamp(near, low, high);
    if (near < high && holds(near)) {
      low = near + 1;
      for (std::int64_t step = 1; low < high; step *= 2) {
        const std::int64_t at = std::min(low + step, high) - 1;
        if (!holds(at)) {
          high = at;
          break;
        }
        low = at + 1;
      }
    } else {
      high = near;
      for (std::int64_t step = 1; low < high; step *= 2) {
        const std::int64_t at = std::max(low, high - step);
        if (holds(at)) {
          low = at + 1;
          break;
        }
        high = at;
      }
    }
    return bisect<T>(data, low, high, before);
  });
}

}  // namespace

void read_array(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, std::int64_t last,
                double* out) {
  if (first >= last) return;
  const std::byte* data = ibd.data() + array.offset;
  if (array.zlib) return read_compressed(data, array, first, last, out);
  convert(array.type, data + first * size_of(array.type), last - first, out);
}

template <typename T>
bool stream_array(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, std::int64_t last,
                  T* out) {
  if (first >= last) return true;
  const std::byte* data = ibd.data() + array.offset + first * size_of(array.type);
  return with_type(array.type, [&](auto tag) {
    using Stored = decltype(tag);
    if constexpr (std::is_same_v<Stored, T>) {
      return stream_copy(data, last - first, out);
    } else {
      unsigned bad = 0;
      for (std::int64_t i = 0; i < last - first; ++i) {
        const T value = static_cast<T>(value_at<Stored>(data, i));
        bad |= static_cast<unsigned>(!(std::fabs(value) <= std::numeric_limits<T>::max()));
        out[i] = value;
      }
      return bad == 0;
    }
  });
}

template bool stream_array<float>(std::span<const std::byte>, const ArrayRef&, std::int64_t, std::int64_t, float*);
template bool stream_array<double>(std::span<const std::byte>, const ArrayRef&, std::int64_t, std::int64_t, double*);

std::int64_t ascending_until(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t from, double value) {
  constexpr std::int64_t kRun = 64;
  const std::byte* data = ibd.data() + array.offset;
  return with_type(array.type, [&](auto tag) -> std::int64_t {
    using T = decltype(tag);
    const auto at = [data](std::int64_t i) { return static_cast<double>(value_at<T>(data, i)); };
    std::int64_t i = from;
    if (i == 0) {
      if (array.length == 0) return 0;
      if (!(at(0) >= 0.0)) return -1;
      if (at(0) > value) return 0;
      i = 1;
    }
    // Branch-free runs of values, as in check_mz, while they end before the value sought.
    for (; i + kRun <= array.length && at(i + kRun - 1) <= value; i += kRun) {
      unsigned bad = 0;
      for (std::int64_t k = i; k < i + kRun; ++k) {
        bad |= static_cast<unsigned>(!(value_at<T>(data, k - 1) <= value_at<T>(data, k)));
      }
      if (bad != 0) return -1;
    }
    for (; i < array.length; ++i) {
      if (!(at(i - 1) <= at(i))) return -1;
      if (at(i) > value) return i;
    }
    return i;
  });
}

std::int64_t lower_bound(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, double value) {
  return bisect(ibd, array, first, [value](double v) { return v < value; });
}

std::int64_t upper_bound(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t first, double value) {
  return bisect(ibd, array, first, [value](double v) { return v <= value; });
}

std::int64_t lower_bound_near(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t near, double value) {
  return bisect_near(ibd, array, near, [value](double v) { return v < value; });
}

std::int64_t upper_bound_near(std::span<const std::byte> ibd, const ArrayRef& array, std::int64_t near, double value) {
  return bisect_near(ibd, array, near, [value](double v) { return v <= value; });
}

void check_mz(std::span<const double> mz) {
  const std::size_t n = mz.size();
  if (n == 0) return;
  const double* p = mz.data();
  // Branch-free so that it vectorises. A NaN fails every comparison; if all hold, the first and last value bound the
  // rest.
  unsigned bad = 0;
  for (std::size_t i = 0; i + 1 < n; ++i) bad |= static_cast<unsigned>(!(p[i] <= p[i + 1]));
  if (bad == 0 && p[0] >= 0.0 && p[n - 1] <= std::numeric_limits<double>::max()) return;
  for (std::size_t i = 0; i < n; ++i) {
    const std::string where = " (value " + std::to_string(i) + "); --repair (Python: repair=True) ";
    if (std::isnan(p[i])) throw MzError("an m/z value is NaN" + where + "drops it");
    if (std::isinf(p[i])) throw MzError("an m/z value is infinite" + where + "drops it");
    if (p[i] < 0.0) throw MzError("an m/z value is negative" + where + "drops it");
    if (i > 0 && p[i] < p[i - 1]) throw MzError("its m/z values are not ascending" + where + "sorts them");
  }
}

bool zero_non_finite(std::span<double> values) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  double* p = values.data();
  const std::size_t n = values.size();
  unsigned bad = 0;
  for (std::size_t i = 0; i < n; ++i) bad |= static_cast<unsigned>(!(std::fabs(p[i]) <= kLargest));
  if (bad == 0) return false;
  for (std::size_t i = 0; i < n; ++i) p[i] = std::isfinite(p[i]) ? p[i] : 0.0;
  return true;
}

std::vector<std::int64_t> repair_order(std::span<const double> mz) {
  std::vector<std::int64_t> order;
  order.reserve(mz.size());
  for (std::size_t i = 0; i < mz.size(); ++i) {
    if (std::isfinite(mz[i]) && mz[i] >= 0.0) order.push_back(static_cast<std::int64_t>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return mz[static_cast<std::size_t>(a)] < mz[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace imn::io
