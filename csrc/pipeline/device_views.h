// A chunk in memory as what the binning kernels are given; both backends use it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "images/bin_views.h"
#include "images/window_plan.h"
#include "pipeline/device_chunk.h"

namespace imn::pipeline {

inline images::PixelView pixel_view(const Chunk& chunk, const std::byte* data) {
  const ChunkLayout at = layout_of(chunk);
  return {reinterpret_cast<const std::int64_t*>(data + at.index),
          reinterpret_cast<const std::int32_t*>(data + at.row_first), static_cast<std::int32_t>(chunk.n),
          static_cast<std::int32_t>(chunk.rows), chunk.layers};
}

// The bins that the strip needs; the chunk holds them, and perhaps more.
template <typename T>
images::BinsView<T> bins_view(const Chunk& chunk, const std::byte* data, const images::WindowPlan& plan,
                              images::WindowStrip strip) {
  const auto [first, last] = images::strip_bins(plan, strip);
  const auto* values = reinterpret_cast<const T*>(data + layout_of(chunk).values);
  if (first == last) return {values, chunk.stride(), first, last};
  return {values + (first - chunk.first_bin), chunk.stride(), first, last};
}

template <typename M, typename T>
images::PeaksView<M, T> peaks_view(const Chunk& chunk, const std::byte* data) {
  const ChunkLayout at = layout_of(chunk);
  return {reinterpret_cast<const M*>(data + at.mz), reinterpret_cast<const T*>(data + at.values),
          reinterpret_cast<const std::int64_t*>(data + at.row_start)};
}

// Calls bins(BinsView<T>) or peaks(PeaksView<M, T>) with the types of the chunk.
template <typename Bins, typename Peaks>
void with_view(const Chunk& chunk, const std::byte* data, const images::WindowPlan& plan, images::WindowStrip strip,
               Bins&& bins, Peaks&& peaks) {
  const bool wide = chunk.types.wide_intensity;
  if (chunk.kind == ChunkKind::bins) {
    if (wide) return bins(bins_view<double>(chunk, data, plan, strip));
    return bins(bins_view<float>(chunk, data, plan, strip));
  }
  if (chunk.types.wide_mz) {
    if (wide) return peaks(peaks_view<double, double>(chunk, data));
    return peaks(peaks_view<double, float>(chunk, data));
  }
  if (wide) return peaks(peaks_view<float, double>(chunk, data));
  return peaks(peaks_view<float, float>(chunk, data));
}

}  // namespace imn::pipeline
