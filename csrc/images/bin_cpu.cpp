#include "images/bin_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "core/parallel_for.h"
#include "images/pixel_sources.h"
#include "images/sorted_windows.h"

namespace imn::images {
namespace {

// A tile holds [windows][pixels of a block] and is meant to stay in the second-level cache: 16 neighbouring pixels make
// one cache line of every image, which is what the write-out needs to run at memory speed.
constexpr std::int64_t kBlock = 16;

// Bins of the shared axis that are bridged rather than read around.
constexpr std::int64_t kBridge = 256;
// Bins read at a time in a continuous file: their doubles and a tile of as many windows fit the second-level cache.
constexpr std::int64_t kPiece = 4096;

// Copies a tile to the images. Pixels of the block that are neighbours in the grid go out as one run.
void write_tile(const float* tile, std::span<const io::Pixel> block, const std::size_t* row, std::size_t windows,
                std::size_t image_size, float* out) {
  struct Run {
    std::size_t pixel, from, length;
  };
  std::array<Run, kBlock> runs;
  std::size_t n_runs = 0;
  for (std::size_t p = 0; p < block.size(); ++p) {
    const auto index = static_cast<std::size_t>(block[p].index);
    if (n_runs > 0 && runs[n_runs - 1].pixel + runs[n_runs - 1].length == index) {
      ++runs[n_runs - 1].length;
    } else {
      runs[n_runs++] = {index, p, 1};
    }
  }
  for (std::size_t w = 0; w < windows; ++w) {
    float* image = out + row[w] * image_size;
    const float* values = tile + w * kBlock;
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
  const ExtraSpectra extra(plane.extra_spectra());
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
    const auto block = pixels.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    tile.assign(count * kBlock, 0.0f);
    for (std::size_t p = 0; p < block.size(); ++p) {
      float* column = tile.data() + p;
      plane.read(block[p].spectrum, lowest, highest, spectrum);
      const auto more = extra.at(block[p].index);
      if (more.empty()) {
        scan_windows(windows, spectrum.mz.data(), spectrum.mz.size(), [&](std::size_t w, std::size_t a, std::size_t b) {
          column[w * kBlock] = static_cast<float>(sum(spectrum.intensity.data() + a, b - a));
        });
        continue;
      }
      row.assign(count, 0.0);
      const auto add = [&](std::size_t w, std::size_t a, std::size_t b) {
        row[w] += sum(spectrum.intensity.data() + a, b - a);
      };
      scan_windows(windows, spectrum.mz.data(), spectrum.mz.size(), add);
      for (const io::Pixel& further : more) {
        plane.read(further.spectrum, lowest, highest, spectrum);
        scan_windows(windows, spectrum.mz.data(), spectrum.mz.size(), add);
      }
      for (std::size_t w = 0; w < count; ++w) column[w * kBlock] = static_cast<float>(row[w]);
    }
    write_tile(tile.data(), block, windows.row.data(), count, image_size, out);
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), kBlock, options.threads, body, options.cancel);
}

// A stretch of the shared axis, read in one piece, and the sorted windows that lie in it.
struct Piece {
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

std::vector<Piece> cut_into_pieces(const std::vector<BinRange>& ranges, std::int64_t longest, std::int64_t bridge) {
  std::vector<Piece> pieces;
  for (std::size_t w = 0; w < ranges.size(); ++w) {
    const auto [first, last] = ranges[w];
    if (!pieces.empty()) {
      Piece& piece = pieces.back();
      const std::int64_t reach = std::max(piece.last_bin, last);
      const bool inside = last <= piece.last_bin;
      const bool near = first - piece.last_bin <= bridge && reach - piece.first_bin <= longest;
      const auto held = static_cast<std::int64_t>(w - piece.first_window);
      if (first == last || ((inside || near) && held < longest)) {
        if (first < last) piece.last_bin = reach;
        piece.last_window = w + 1;
        continue;
      }
    }
    pieces.push_back({first, last, w, w + 1});
  }
  return pieces;
}

void bin_continuous(const io::Plane& plane, const SortedWindows& windows, const BinOptions& options, float* out) {
  const auto pixels = plane.pixels();
  const ExtraSpectra extra(plane.extra_spectra());
  const std::size_t image_size =
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height);
  const std::vector<BinRange> ranges = bin_ranges(plane.spectra().shared_mz(), windows);
  // A compressed spectrum is inflated once: all of it is one piece, whatever the caches say.
  constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  const std::vector<Piece> pieces = plane.spectra().compressed() ? cut_into_pieces(ranges, kNoLimit, kNoLimit)
                                                                 : cut_into_pieces(ranges, kPiece, kBridge);
  std::size_t longest = 0;
  std::size_t most_windows = 0;
  for (const Piece& piece : pieces) {
    longest = std::max(longest, static_cast<std::size_t>(piece.last_bin - piece.first_bin));
    most_windows = std::max(most_windows, piece.last_window - piece.first_window);
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
    tile.resize(most_windows * kBlock);
    row.resize(most_windows);
    const auto block = pixels.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    for (const Piece& piece : pieces) {
      const std::size_t count = piece.last_window - piece.first_window;
      const BinRange* range = ranges.data() + piece.first_window;
      const auto each_sum = [&](std::int64_t spectrum, auto&& take) {
        if (piece.first_bin < piece.last_bin) {
          plane.read_bins(spectrum, piece.first_bin, piece.last_bin, bins.data());
        }
        for (std::size_t w = 0; w < count; ++w) {
          const bool empty = range[w].first == range[w].last;  // may lie outside the piece
          take(w, empty ? 0.0
                        : sum(bins.data() + (range[w].first - piece.first_bin),
                              static_cast<std::size_t>(range[w].last - range[w].first)));
        }
      };
      for (std::size_t p = 0; p < block.size(); ++p) {
        float* column = tile.data() + p;
        const auto more = extra.at(block[p].index);
        if (more.empty()) {
          each_sum(block[p].spectrum, [&](std::size_t w, double s) { column[w * kBlock] = static_cast<float>(s); });
          continue;
        }
        each_sum(block[p].spectrum, [&](std::size_t w, double s) { row[w] = s; });
        for (const io::Pixel& further : more) {
          each_sum(further.spectrum, [&](std::size_t w, double s) { row[w] += s; });
        }
        for (std::size_t w = 0; w < count; ++w) column[w * kBlock] = static_cast<float>(row[w]);
      }
      write_tile(tile.data(), block, windows.row.data() + piece.first_window, count, image_size, out);
    }
  };
  parallel_for(static_cast<std::int64_t>(pixels.size()), kBlock, options.threads, body, options.cancel);
}

// Pixels without a spectrum; the others are written by the blocks.
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
