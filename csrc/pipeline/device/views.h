// Views of chunks in memory, as the binning kernels accept them; used by both backends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "images/bin_views.h"
#include "images/window_plan.h"
#include "pipeline/device/backend.h"

namespace imn::pipeline {

inline images::PixelView pixel_view(const Chunk& chunk, const std::byte* data) {
  const ChunkLayout at = layout_of(chunk);
  return {reinterpret_cast<const std::int64_t*>(data + at.index),
          reinterpret_cast<const std::int32_t*>(data + at.row_first), static_cast<std::int32_t>(chunk.n),
          static_cast<std::int32_t>(chunk.rows), chunk.layers};
}

// The bins [first, last) of a chunk, which may contain more.
template <typename T>
images::BinsView<T> bins_view(const Chunk& chunk, const std::byte* data, std::int32_t first, std::int32_t last) {
  const auto* values = reinterpret_cast<const T*>(data + layout_of(chunk).values);
  return {first == last ? values : values + (first - chunk.first_bin), chunk.stride(), first, last};
}

template <typename M, typename T>
images::PeaksView<M, T> peaks_view(const Chunk& chunk, const std::byte* data) {
  const ChunkLayout at = layout_of(chunk);
  return {reinterpret_cast<const M*>(data + at.mz), reinterpret_cast<const T*>(data + at.values),
          reinterpret_cast<const std::int64_t*>(data + at.row_start)};
}

// A ChunkView of every chunk, made by view(chunk, data).
template <typename View>
auto chunk_views(std::span<const ChunkOnDevice> chunks, View&& view) {
  std::vector<images::ChunkView<decltype(view(chunks[0].chunk, chunks[0].data))>> views;
  views.reserve(chunks.size());
  for (const auto& [chunk, data] : chunks) views.push_back({pixel_view(chunk, data), view(chunk, data)});
  return views;
}

// Calls bins(views of BinsView<T>) or peaks(views of PeaksView<M, T>) with the types of the chunks; neither if there
// are no chunks.
template <typename Bins, typename Peaks>
void with_chunk_views(std::span<const ChunkOnDevice> chunks, const images::WindowPlan& plan, images::WindowStrip strip,
                      Bins&& bins, Peaks&& peaks) {
  if (chunks.empty()) return;
  const Chunk& front = chunks.front().chunk;
  const bool wide = front.types.wide_intensity;
  if (front.kind == ChunkKind::bins) {
    const auto [first, last] = images::strip_bins(plan, strip);
    const auto of = [&, first = first, last = last]<typename T>(T) {
      bins(chunk_views(
          chunks, [=](const Chunk& chunk, const std::byte* data) { return bins_view<T>(chunk, data, first, last); }));
    };
    return wide ? of(double{}) : of(float{});
  }
  const auto of = [&]<typename M, typename T>(M, T) { peaks(chunk_views(chunks, peaks_view<M, T>)); };
  if (front.types.wide_mz) return wide ? of(double{}, double{}) : of(double{}, float{});
  return wide ? of(float{}, double{}) : of(float{}, float{});
}

}  // namespace imn::pipeline
