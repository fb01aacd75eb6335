#include "images/bin_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "core/parallel_for.h"
#include "images/pixel_factors.h"
#include "images/sorted_windows.h"

namespace imn::images {
namespace {

// A tile holds [windows][kTilePixels] and is meant to stay in the second-level cache: 16 neighbouring pixels make
// one cache line of every image, which is what the write-out needs to run at memory speed.
constexpr std::int64_t kTilePixels = 16;

// Gaps of up to this many bins of the shared axis are read rather than skipped.
constexpr std::int64_t kBridge = 256;
// Bins read at a time in a continuous file: their doubles and a tile of as many windows fit the second-level cache.
constexpr std::int64_t kMaxSpan = 4096;

// Copies a tile to the images. Pixels of the tile that are neighbours in the grid go out as one run.
void write_tile(const float* tile, std::span<const io::Pixel> tile_pixels, const std::size_t* row, std::size_t windows,
                std::size_t image_size, float* out) {
  struct Run {
    std::size_t pixel, from, length;
  };
  std::array<Run, kTilePixels> runs;
  std::size_t n_runs = 0;
  for (std::size_t p = 0; p < tile_pixels.size(); ++p) {
    const auto index = static_cast<std::size_t>(tile_pixels[p].index);
    if (n_runs > 0 && runs[n_runs - 1].pixel + runs[n_runs - 1].length == index) {
      ++runs[n_runs - 1].length;
    } else {
      runs[n_runs++] = {index, p, 1};
    }
  }
  for (std::size_t w = 0; w < windows; ++w) {
    float* image = out + row[w] * image_size;
    const float* values = tile + w * kTilePixels;
    for (std::size_t r = 0; r < n_runs; ++r) {
      std::memcpy(image + runs[r].pixel, values + runs[r].from, runs[r].length * sizeof(float));
    }
  }
}

double sum(const double* values, std::size_t n) {
  double total = 0.0;
  for (std::size_t i = 0; i < n; ++i) total += values[i];
  return total;
}

void bin_processed(const io::Plane& plane, const SortedWindows& windows, const BinOptions& options, float* out) {
  const auto pixels = plane.pixels();
  const auto factors = plane.image_factors();
  const std::size_t image_size =
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height);
  const std::size_t count = windows.size();
  const double lowest = windows.lo.front();
  const double highest = windows.reach.back();

  struct Worker {
    io::Spectrum spectrum;
    std::vector<float> tile;
    std::vector<double> row;
  };
  std::vector<Worker> workers(static_cast<std::size_t>(thread_count(options.threads)));

  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    Worker& own = workers[static_cast<std::size_t>(worker)];
    io::Spectrum& spectrum = own.spectrum;
    std::vector<float>& tile = own.tile;
    std::vector<double>& row = own.row;
    const auto tile_pixels = pixels.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    tile.assign(count * kTilePixels, 0.0f);
    for (std::size_t p = 0; p < tile_pixels.size(); ++p) {
      float* column = tile.data() + p;
      const auto shown = plane.shown().of_pixel(begin + static_cast<std::int64_t>(p));
      const double factor = factor_at(factors, tile_pixels[p].index);
      plane.read(shown.front(), lowest, highest, spectrum);
      if (shown.size() == 1) {
        scan_windows(windows, spectrum.mz.data(), spectrum.mz.size(), [&](std::size_t w, std::size_t a, std::size_t b) {
          column[w * kTilePixels] = static_cast<float>(factor * sum(spectrum.intensity.data() + a, b - a));
        });
        continue;
      }
      row.assign(count, 0.0);
      const auto add = [&](std::size_t w, std::size_t a, std::size_t b) {
        row[w] += sum(spectrum.intensity.data() + a, b - a);
      };
      scan_windows(windows, spectrum.mz.data(), spectrum.mz.size(), add);
      for (const std::int64_t further : shown.subspan(1)) {
        plane.read(further, lowest, highest, spectrum);
        scan_windows(windows, spectrum.mz.data(), spectrum.mz.size(), add);
      }
      for (std::size_t w = 0; w < count; ++w) column[w * kTilePixels] = static_cast<float>(factor * row[w]);
    }
    write_tile(tile.data(), tile_pixels, windows.row.data(), count, image_size, out);
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), kTilePixels, options.threads, body, options.cancel);
}

// A stretch of the shared axis that is read at once, and the sorted windows that lie in it.
struct AxisSpan {
  std::int64_t first_bin, last_bin;
  std::size_t first_window, last_window;
};

struct BinRange {
  std::int64_t first, last;
};

std::vector<BinRange> bin_ranges(std::span<const double> mz, const SortedWindows& windows) {
  std::vector<BinRange> ranges;
  ranges.reserve(windows.size());
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const auto first = std::lower_bound(mz.begin(), mz.end(), windows.lo[w]);
    const auto last = std::upper_bound(first, mz.end(), windows.hi[w]);
    ranges.push_back({first - mz.begin(), last - mz.begin()});
  }
  return ranges;
}

std::vector<AxisSpan> cut_into_spans(const std::vector<BinRange>& ranges, std::int64_t longest, std::int64_t bridge) {
  std::vector<AxisSpan> spans;
  for (std::size_t w = 0; w < ranges.size(); ++w) {
    const auto [first, last] = ranges[w];
    if (!spans.empty()) {
      AxisSpan& span = spans.back();
      const std::int64_t reach = std::max(span.last_bin, last);
      const bool inside = last <= span.last_bin;
      const bool near = first - span.last_bin <= bridge && reach - span.first_bin <= longest;
      const auto held = static_cast<std::int64_t>(w - span.first_window);
      if (first == last || ((inside || near) && held < longest)) {
        if (first < last) span.last_bin = reach;
        span.last_window = w + 1;
        continue;
      }
    }
    spans.push_back({first, last, w, w + 1});
  }
  return spans;
}

void bin_continuous(const io::Plane& plane, const SortedWindows& windows, const BinOptions& options, float* out) {
  const auto pixels = plane.pixels();
  const auto factors = plane.image_factors();
  const std::size_t image_size =
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height);
  const std::vector<BinRange> ranges = bin_ranges(plane.spectra().shared_mz(), windows);
  // A compressed spectrum is inflated once, as a single span, whatever the size of the caches.
  constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  const std::vector<AxisSpan> spans = plane.spectra().compressed() ? cut_into_spans(ranges, kNoLimit, kNoLimit)
                                                                   : cut_into_spans(ranges, kMaxSpan, kBridge);
  std::size_t longest = 0;
  std::size_t most_windows = 0;
  for (const AxisSpan& span : spans) {
    longest = std::max(longest, static_cast<std::size_t>(span.last_bin - span.first_bin));
    most_windows = std::max(most_windows, span.last_window - span.first_window);
  }

  struct Worker {
    std::vector<double> bins;
    std::vector<float> tile;
    std::vector<double> row;
  };
  std::vector<Worker> workers(static_cast<std::size_t>(thread_count(options.threads)));

  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    Worker& own = workers[static_cast<std::size_t>(worker)];
    std::vector<double>& bins = own.bins;
    std::vector<float>& tile = own.tile;
    std::vector<double>& row = own.row;
    bins.resize(longest);
    tile.resize(most_windows * kTilePixels);
    row.resize(most_windows);
    const auto tile_pixels = pixels.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    for (const AxisSpan& span : spans) {
      const std::size_t count = span.last_window - span.first_window;
      const BinRange* range = ranges.data() + span.first_window;
      const auto each_sum = [&](std::int64_t spectrum, auto&& take) {
        if (span.first_bin < span.last_bin) {
          plane.read_bins(spectrum, span.first_bin, span.last_bin, bins.data());
        }
        for (std::size_t w = 0; w < count; ++w) {
          const bool empty = range[w].first == range[w].last;  // may lie outside the span
          take(w, empty ? 0.0
                        : sum(bins.data() + (range[w].first - span.first_bin),
                              static_cast<std::size_t>(range[w].last - range[w].first)));
        }
      };
      for (std::size_t p = 0; p < tile_pixels.size(); ++p) {
        float* column = tile.data() + p;
        const auto shown = plane.shown().of_pixel(begin + static_cast<std::int64_t>(p));
        const double factor = factor_at(factors, tile_pixels[p].index);
        if (shown.size() == 1) {
          each_sum(shown.front(),
                   [&](std::size_t w, double s) { column[w * kTilePixels] = static_cast<float>(factor * s); });
          continue;
        }
        each_sum(shown.front(), [&](std::size_t w, double s) { row[w] = s; });
        for (const std::int64_t further : shown.subspan(1)) {
          each_sum(further, [&](std::size_t w, double s) { row[w] += s; });
        }
        for (std::size_t w = 0; w < count; ++w) column[w * kTilePixels] = static_cast<float>(factor * row[w]);
      }
      write_tile(tile.data(), tile_pixels, windows.row.data() + span.first_window, count, image_size, out);
    }
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), kTilePixels, options.threads, body, options.cancel);
}

// Fills pixels without a spectrum; tiles write the others.
void fill_unmeasured(const io::Plane& plane, const BinOptions& options, std::size_t windows, float* out) {
  const auto image_size =
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height);
  if (plane.pixels().size() == image_size) return;
  std::vector<std::uint8_t> measured(image_size, 0);
  for (const io::Pixel& pixel : plane.pixels()) measured[static_cast<std::size_t>(pixel.index)] = 1;
  parallel_for(
      static_cast<std::int64_t>(windows), 16, options.threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        for (auto w = begin; w < end; ++w) {
          float* image = out + static_cast<std::size_t>(w) * image_size;
          for (std::size_t p = 0; p < image_size; ++p) {
            if (measured[p] == 0) image[p] = options.unmeasured;
          }
        }
      },
      options.cancel);
}

}  // namespace

void bin_images_cpu(const io::Plane& plane, std::span<const MzWindow> windows, const BinOptions& options,
                    std::span<float> out) {
  const SortedWindows sorted(windows);
  fill_unmeasured(plane, options, windows.size(), out.data());
  if (plane.spectra().mode() == io::Mode::continuous) {
    bin_continuous(plane, sorted, options, out.data());
  } else {
    bin_processed(plane, sorted, options, out.data());
  }
}

}  // namespace imn::images
