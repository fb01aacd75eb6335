#include "images/occupancy.h"

#include <algorithm>
#include <cmath>

#include "core/parallel_for.h"
#include "images/sorted_windows.h"

namespace imn::images {
namespace {

constexpr double kFixedPoint = 1e6;  // units of an offset per ppm: sums of integers do not depend on their order

struct Counts {
  std::vector<std::int64_t> spectra, peaks, with_next, offset;
  explicit Counts(std::size_t n) : spectra(n, 0), peaks(n, 0), with_next(n, 0), offset(n, 0) {}
};

}  // namespace

Occupancy occupancy(const io::Dataset& dataset, std::span<const MzWindow> windows, std::span<const double> centre,
                    int threads, const std::atomic<bool>* cancel) {
  const std::size_t n = windows.size();
  Occupancy result;
  result.offset_ppm.assign(n, 0.0);
  Counts total(n);
  if (n > 0) {
    const SortedWindows sorted(windows);
    const bool continuous = dataset.mode() == io::Mode::continuous;
    const auto shared = dataset.shared_mz();
    struct Worker {
      Counts counts;
      io::Spectrum spectrum;
    };
    std::vector<Worker> workers;
    for (int t = 0; t < thread_count(threads); ++t) workers.push_back({Counts(n), {}});
    const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
      auto& [counts, spectrum] = workers[static_cast<std::size_t>(worker)];
      for (auto i = begin; i < end; ++i) {
        const double* mz = shared.data();
        if (continuous) {
          spectrum.intensity.resize(shared.size());
          dataset.read_bins(i, 0, static_cast<std::int64_t>(shared.size()), spectrum.intensity.data());
        } else {
          dataset.read_spectrum(i, sorted.lo.front(), sorted.reach.back(), spectrum);
          mz = spectrum.mz.data();
        }
        std::size_t previous = n;
        scan_windows(sorted, mz, spectrum.intensity.size(), [&](std::size_t w, std::size_t a, std::size_t b) {
          std::int64_t found = 0;
          for (std::size_t p = a; p < b; ++p) {
            if (spectrum.intensity[p] == 0.0) continue;
            ++found;
            counts.offset[w] += std::llround((mz[p] / centre[w] - 1.0) * 1e6 * kFixedPoint);
          }
          if (found == 0) return;
          ++counts.spectra[w];
          counts.peaks[w] += found;
          if (previous != n && previous + 1 == w) ++counts.with_next[previous];
          previous = w;
        });
      }
    };
    parallel_for(dataset.n_spectra(), 32, threads, body, cancel);
    for (const auto& [counts, spectrum] : workers) {
      for (std::size_t w = 0; w < n; ++w) {
        total.spectra[w] += counts.spectra[w];
        total.peaks[w] += counts.peaks[w];
        total.with_next[w] += counts.with_next[w];
        total.offset[w] += counts.offset[w];
      }
    }
    for (std::size_t w = 0; w < n; ++w) {
      if (total.peaks[w] > 0) {
        result.offset_ppm[w] = static_cast<double>(total.offset[w]) / kFixedPoint / static_cast<double>(total.peaks[w]);
      }
    }
  }
  result.spectra = std::move(total.spectra);
  result.peaks = std::move(total.peaks);
  result.with_next = std::move(total.with_next);
  return result;
}

}  // namespace imn::images
