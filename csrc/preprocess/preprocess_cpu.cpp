#include "preprocess/preprocess_cpu.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/multiversion.h"
#include "core/parallel_for.h"
#include "preprocess/clean_row.h"
#include "preprocess/image_divisor.h"
#include "preprocess/quantile.h"
#include "preprocess/resize_weights.h"
#include "preprocess/top_values.h"

namespace imn::preprocess {
namespace {

constexpr auto kSize = static_cast<std::size_t>(kInputSize);
constexpr std::int64_t kPlane = std::int64_t{kInputSize} * kInputSize;
using Taps = std::array<Tap, kSize>;
using Row = std::array<float, kSize>;

Taps axis_taps(std::int32_t source_size) {
  Taps taps;
  for (std::size_t i = 0; i < kSize; ++i) {
    taps[i] = bilinear_tap(static_cast<std::int32_t>(i), source_size, kInputSize);
  }
  return taps;
}

// Memory of one worker; grows to the largest row seen.
struct Scratch {
  TopScratch top;
  std::vector<float> line;
  std::array<Row, 2> rows;
};

IMN_MULTIVERSION void normalised_line(const PixelSource& source, std::int64_t begin, std::int64_t width, float by,
                                      float* __restrict line) {
  clean_row(source, begin, width, line);
  for (std::int64_t i = 0; i < width; ++i) line[i] = normalise(line[i], by);
}

void measured_line(const PixelSource& source, std::int64_t begin, std::int64_t width, float* __restrict line) {
  for (std::int64_t i = 0; i < width; ++i) line[i] = is_measured(source, begin + i) ? 1.0F : 0.0F;
}

void resize_line(const float* line, const Taps& taps, Row& out) {
  for (std::size_t i = 0; i < kSize; ++i) {
    const Tap& tap = taps[i];
    out[i] = line[tap.first] * (1.0F - tap.weight) + line[tap.second] * tap.weight;
  }
}

IMN_MULTIVERSION void blend(const Row& top, const Row& bottom, float weight, float* __restrict out) {
  const float rest = 1.0F - weight;
  for (std::size_t i = 0; i < kSize; ++i) out[i] = top[i] * rest + bottom[i] * weight;
}

// Bilinear resize of lines that `fill(row, line)` writes. Only consecutive output lines need a source line, so
// the last two are kept and each is filled once.
template <typename FillLine>
void resize(const FillLine& fill, const Taps& x_taps, const Taps& y_taps, Scratch& scratch, float* out) {
  std::array<std::int32_t, 2> held{-1, -1};
  const auto fetch = [&](std::int32_t row, std::int32_t keep) -> std::size_t {
    if (held[0] == row) return 0;
    if (held[1] == row) return 1;
    const std::size_t slot = held[0] == keep ? 1 : 0;
    fill(row, scratch.line.data());
    resize_line(scratch.line.data(), x_taps, scratch.rows[slot]);
    held[slot] = row;
    return slot;
  };
  for (std::size_t y = 0; y < kSize; ++y, out += kInputSize) {
    const Tap& tap = y_taps[y];
    const std::size_t top = fetch(tap.first, tap.second);
    const std::size_t bottom = fetch(tap.second, tap.first);
    blend(scratch.rows[top], scratch.rows[bottom], tap.weight, out);
  }
}

std::int64_t count_measured(const PixelSource& source, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += is_measured(source, i) ? 1 : 0;
  return count;
}

void preprocess_image(const ImageStack& stack, std::int64_t image, PreprocessId id, const Taps& x_taps,
                      const Taps& y_taps, Scratch& scratch, float* out) {
  const std::int64_t n = stack.pixels();
  const bool with_mask = id == PreprocessId::p99_stretch_224_mask;
  const PixelSource source = quantile_source(stack, image, id);
  const std::int64_t counted = with_mask ? count_measured(source, n) : n;
  if (counted == 0) {
    std::fill_n(out, with_mask ? 2 * kPlane : kPlane, 0.0F);
    return;
  }
  const float by = image_divisor(source, n, counted, scratch.top);
  const std::int64_t width = stack.width;
  scratch.line.resize(static_cast<std::size_t>(width));
  resize([&](std::int32_t row, float* line) { normalised_line(source, row * width, width, by, line); }, x_taps, y_taps,
         scratch, out);
  if (with_mask) {
    resize([&](std::int32_t row, float* line) { measured_line(source, row * width, width, line); }, x_taps, y_taps,
           scratch, out + kPlane);
  }
}

}  // namespace

void preprocess_cpu(const ImageStack& stack, PreprocessId id, int threads, float* out) {
  const Taps x_taps = axis_taps(stack.width);
  const Taps y_taps = axis_taps(stack.height);
  const int workers = thread_count(threads);
  std::vector<Scratch> scratch(static_cast<std::size_t>(std::min<std::int64_t>(workers, stack.n)));
  // Grains of a few images: small enough to balance the load, large enough that their overhead is negligible.
  const std::int64_t grain = std::clamp<std::int64_t>(stack.n / (4 * std::int64_t{workers}), 1, 16);
  parallel_for(stack.n, grain, workers, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t i = begin; i < end; ++i) {
      preprocess_image(stack, i, id, x_taps, y_taps, scratch[static_cast<std::size_t>(worker)],
                       out + i * channels(id) * kPlane);
    }
  });
}

}  // namespace imn::preprocess
