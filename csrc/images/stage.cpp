#include "images/stage.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/stream_copy.h"

namespace imn::images {

StagedPixels stage_pixels(const io::Plane& plane, std::int64_t begin, std::int64_t end) {
  StagedPixels staged;
  staged.row_first.push_back(0);
  const auto pixels = plane.pixels();
  for (std::int64_t p = begin; p < end; ++p) {
    const auto spectra = plane.shown().of_pixel(p);
    staged.index.push_back(pixels[static_cast<std::size_t>(p)].index);
    staged.spectrum.insert(staged.spectrum.end(), spectra.begin(), spectra.end());
    if (staged.spectrum.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
      throw ArgumentError("too many spectra: a device can bin fewer than 2^31 at a time");
    }
    const std::int32_t rows = staged.rows();
    staged.layers = std::max(staged.layers, rows - staged.row_first.back());
    staged.row_first.push_back(rows);
  }
  return staged;
}

namespace {

using Runs = std::pair<std::vector<BinRun>::const_iterator, std::vector<BinRun>::const_iterator>;

// The runs that reach into [first, last).
Runs runs_within(const WindowPlan& plan, std::int32_t first, std::int32_t last) {
  const auto ends_before = [](std::int32_t position, const BinRun& run) {
    return position < run.position + (run.last - run.first);
  };
  const auto begin = std::upper_bound(plan.runs.begin(), plan.runs.end(), first, ends_before);
  const auto end = std::find_if(begin, plan.runs.end(), [last](const BinRun& run) { return run.position >= last; });
  return {begin, end};
}

}  // namespace

template <typename T>
void stage_bins(const io::Plane& plane, const WindowPlan& plan, std::int64_t spectrum, std::int32_t first,
                std::int32_t last, StageScratch& scratch, T* out) {
  const auto [begin, end] = runs_within(plan, first, last);
  if (begin == end) return;
  const bool streams = plane.spectra().streams();
  const bool whole = !streams && plane.spectra().compressed();
  if (whole) {  // inflated once
    scratch.bins.resize(static_cast<std::size_t>((end - 1)->last - begin->first));
    plane.read_bins(spectrum, begin->first, (end - 1)->last, scratch.bins.data());
  }
  for (auto run = begin; run != end; ++run) {
    const std::int64_t from = run->first + std::max(0, first - run->position);
    const std::int64_t to = std::min(run->last, run->first + (last - run->position));
    T* place = out + (run->position + (from - run->first) - first);
    if (streams) {
      io::StreamReader(plane).copy(spectrum, io::Values::intensity, from, to, place);
      continue;
    }
    const double* values = nullptr;
    if (whole) {
      values = scratch.bins.data() + (from - begin->first);
    } else {
      scratch.bins.resize(static_cast<std::size_t>(to - from));
      plane.read_bins(spectrum, from, to, scratch.bins.data());
      values = scratch.bins.data();
    }
    for (std::int64_t k = 0; k < to - from; ++k) place[k] = static_cast<T>(values[k]);
  }
  if (streams) finish_streams();
}

void prefetch_bins(const io::Plane& plane, const WindowPlan& plan, std::int64_t spectrum, std::int32_t first,
                   std::int32_t last) {
  if (!plane.spectra().streams()) return;
  const auto [begin, end] = runs_within(plan, first, last);
  if (begin == end) return;
  // Gaps between runs are usually short; prefetching the first run hides most of the wait.
  const std::int64_t from = begin->first + std::max(0, first - begin->position);
  io::StreamReader(plane).prefetch(spectrum, io::Values::intensity, from, std::min(begin->last, from + (last - first)));
}

template void stage_bins<float>(const io::Plane&, const WindowPlan&, std::int64_t, std::int32_t, std::int32_t,
                                StageScratch&, float*);
template void stage_bins<double>(const io::Plane&, const WindowPlan&, std::int64_t, std::int32_t, std::int32_t,
                                 StageScratch&, double*);

std::int64_t read_peaks(const io::Plane& plane, std::int64_t spectrum, double lo, double hi, StageScratch& scratch) {
  plane.read(spectrum, lo, hi, scratch.spectrum);
  return static_cast<std::int64_t>(scratch.spectrum.mz.size());
}

template <typename M, typename T>
void store_peaks(const StageScratch& scratch, M* mz, T* intensity) {
  const io::Spectrum& spectrum = scratch.spectrum;
  for (std::size_t k = 0; k < spectrum.mz.size(); ++k) mz[k] = static_cast<M>(spectrum.mz[k]);
  for (std::size_t k = 0; k < spectrum.mz.size(); ++k) intensity[k] = static_cast<T>(spectrum.intensity[k]);
}

template void store_peaks<float, float>(const StageScratch&, float*, float*);
template void store_peaks<float, double>(const StageScratch&, float*, double*);
template void store_peaks<double, float>(const StageScratch&, double*, float*);
template void store_peaks<double, double>(const StageScratch&, double*, double*);

}  // namespace imn::images
