// Resizer: resizes images of one size to the network's input, row by row.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "preprocess/preprocess_id.h"
#include "preprocess/resize_weights.h"

namespace imn::preprocess {

// Memory of one worker.
struct ResizeScratch {
  std::vector<float> line, rows;
};

// An axis of Resize::area: output i is the sum of weights[k * size + i] times source first[i] + k over k < taps. All
// outputs have as many taps; those that need fewer have weights of 0.
struct AreaAxis {
  std::int32_t taps = 0;
  std::vector<std::int32_t> first;  // (size)
  std::vector<float> weights;       // (taps, size)
};
AreaAxis area_axis(std::int32_t source, std::int32_t size);

class Resizer {
 public:
  Resizer(std::int32_t height, std::int32_t width, const PreprocessId& id);

  // Writes the values of one source row, `width` of them.
  using FillLine = std::function<void(std::int32_t row, float* line)>;

  // Calls `fill` once for each row that is needed, in ascending order. out: (size, size).
  void run(const FillLine& fill, ResizeScratch& scratch, float* out) const;

  std::int32_t width() const { return width_; }
  std::int64_t plane() const { return std::int64_t{size_} * size_; }

 private:
  void stretch(const FillLine& fill, ResizeScratch& scratch, float* out) const;
  void area(const FillLine& fill, ResizeScratch& scratch, float* out) const;

  std::int32_t width_;
  std::int32_t size_;
  std::vector<Tap> x_taps_, y_taps_;  // empty if an axis shrinks and id.resize is Resize::area
  AreaAxis x_, y_;                    // otherwise empty
};

}  // namespace imn::preprocess
