#include "preprocess/input_tables.h"

#include <cstring>

#include "preprocess/preprocess.h"
#include "preprocess/resize.h"

namespace imn::preprocess {
namespace {

template <typename T>
void append(std::vector<std::uint32_t>& words, const std::vector<T>& values) {
  static_assert(sizeof(T) == sizeof(std::uint32_t));
  const std::size_t before = words.size();
  words.resize(before + values.size());
  std::memcpy(words.data() + before, values.data(), values.size() * sizeof(T));
}

}  // namespace

PackedTables::PackedTables(const ImageStack& shape, const PreprocessId& id) : size_(id.size), sample_(id.sample) {
  if (shrinks(shape.height, shape.width, id)) {
    const AreaAxis x = area_axis(shape.width, id.size);
    const AreaAxis y = area_axis(shape.height, id.size);
    x_taps_ = x.taps;
    y_taps_ = y.taps;
    for (const AreaAxis* axis : {&x, &y}) {
      append(words_, axis->first);
      append(words_, axis->weights);
    }
  }
  if (id.sample) append(words_, sample_plane(shape.sample, Resizer(shape.height, shape.width, id)));
}

InputTables PackedTables::at(const void* base) const {
  InputTables tables;
  const auto* word = static_cast<const std::uint32_t*>(base);
  const auto take = [&](AreaAxisView& axis, std::int32_t taps) {
    if (taps == 0) return;
    axis.taps = taps;
    axis.first = reinterpret_cast<const std::int32_t*>(word);
    axis.weights = reinterpret_cast<const float*>(word + size_);
    word += std::int64_t{size_} * (taps + 1);
  };
  take(tables.x, x_taps_);
  take(tables.y, y_taps_);
  if (sample_) tables.sample = reinterpret_cast<const float*>(word);
  return tables;
}

}  // namespace imn::preprocess
