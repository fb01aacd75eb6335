#include "images/occupancy.h"

#include <cmath>

#include "core/parallel_for.h"
#include "images/sorted_windows.h"

namespace imn::images {
namespace {

constexpr double kFixedPoint = 1e6;  // units of an offset per ppm: sums of integers do not depend on their order

// Adds to a table that all threads share: one table per thread would multiply the memory, and collisions are rare.
void add(std::int64_t& count, std::int64_t more) {
  std::atomic_ref<std::int64_t>(count).fetch_add(more, std::memory_order_relaxed);
}

// Calls visit(window, mz, intensity, first, last, previous, place) for every window that holds the values [first, last)
// of a spectrum that is shown; `previous` is the window of that spectrum for which visit was true last, or the number
// of windows.
struct Place {
  std::int64_t pixel;  // position in Plane::pixels()
  int worker;
};

template <typename Visit>
void visit_windows(const io::Plane& plane, std::span<const MzWindow> windows, int threads,
                   const std::atomic<bool>* cancel, const Visit& visit) {
  if (windows.empty()) return;
  const SortedWindows sorted(windows);
  const bool continuous = plane.spectra().mode() == io::Mode::continuous;
  const auto shared = plane.spectra().shared_mz();
  const io::Shown& shown = plane.shown();
  std::vector<io::Spectrum> spectra(static_cast<std::size_t>(thread_count(threads)));
  const auto visit_spectrum = [&](std::int64_t i, Place place) {
    io::Spectrum& spectrum = spectra[static_cast<std::size_t>(place.worker)];
    const double* mz = shared.data();
    if (continuous) {
      spectrum.intensity.resize(shared.size());
      plane.read_bins(i, 0, static_cast<std::int64_t>(shared.size()), spectrum.intensity.data());
    } else {
      plane.read(i, sorted.lo.front(), sorted.reach.back(), spectrum);
      mz = spectrum.mz.data();
    }
    const double* intensity = spectrum.intensity.data();
    std::size_t previous = windows.size();
    scan_windows(sorted, mz, spectrum.intensity.size(), [&](std::size_t w, std::size_t first, std::size_t last) {
      if (visit(w, mz, intensity, first, last, previous, place)) previous = w;
    });
  };
  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    for (auto p = begin; p < end; ++p) {
      for (const std::int64_t i : shown.of_pixel(p)) visit_spectrum(i, {p, worker});
    }
  };
  parallel_for(shown.n_pixels(), 32, threads, body, cancel);
}

}  // namespace

Occupancy occupancy(const io::Plane& plane, std::span<const MzWindow> windows, std::span<const double> centre,
                    int threads, const std::atomic<bool>* cancel) {
  const std::size_t n = windows.size();
  Occupancy result;
  result.spectra.assign(n, 0);
  result.with_next.assign(n, 0);
  std::vector<std::int64_t> peaks(n, 0);
  std::vector<std::int64_t> offset(n, 0);
  visit_windows(plane, windows, threads, cancel,
                [&](std::size_t w, const double* mz, const double* intensity, std::size_t first, std::size_t last,
                    std::size_t previous, Place) {
                  std::int64_t found = 0;
                  std::int64_t away = 0;
                  for (std::size_t p = first; p < last; ++p) {
                    if (intensity[p] == 0.0) continue;
                    ++found;
                    // Relative distances from 0 are undefined.
                    if (centre[w] > 0.0) away += std::llround((mz[p] / centre[w] - 1.0) * 1e6 * kFixedPoint);
                  }
                  if (found == 0) return false;
                  add(result.spectra[w], 1);
                  add(peaks[w], found);
                  add(offset[w], away);
                  if (previous + 1 == w) add(result.with_next[previous], 1);
                  return true;
                });
  result.offset_ppm.assign(n, 0.0);
  for (std::size_t w = 0; w < n; ++w) {
    if (peaks[w] == 0) continue;
    result.offset_ppm[w] = static_cast<double>(offset[w]) / kFixedPoint / static_cast<double>(peaks[w]);
  }
  return result;
}

std::vector<std::int64_t> pixels_in_windows(const io::Plane& plane, std::span<const MzWindow> windows, int threads,
                                            const std::atomic<bool>* cancel) {
  std::vector<std::int64_t> pixels(windows.size(), 0);
  // By worker and window, the last pixel counted: a worker takes all spectra of a pixel one after the other.
  std::vector<std::vector<std::int64_t>> counted(static_cast<std::size_t>(thread_count(threads)));
  if (plane.shown().several()) {
    for (auto& last : counted) last.assign(windows.size(), -1);
  }
  visit_windows(plane, windows, threads, cancel,
                [&](std::size_t w, const double*, const double* intensity, std::size_t first, std::size_t last,
                    std::size_t, Place place) {
                  auto& before = counted[static_cast<std::size_t>(place.worker)];
                  if (!before.empty() && before[w] == place.pixel) return true;
                  for (std::size_t k = first; k < last; ++k) {
                    if (intensity[k] == 0.0) continue;
                    add(pixels[w], 1);
                    if (!before.empty()) before[w] = place.pixel;
                    return true;
                  }
                  return false;
                });
  return pixels;
}

}  // namespace imn::images
