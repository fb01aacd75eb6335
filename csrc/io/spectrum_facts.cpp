#include "io/spectrum_facts.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel_for.h"

namespace imn::io {

namespace {

constexpr double kNearLargest = 0.8;

SpectrumFacts facts_of(std::span<const double> intensity) {
  SpectrumFacts facts;
  facts.least = facts.largest = intensity.front();
  for (const double v : intensity) {
    facts.total += v;
    facts.squares += v * v;
    facts.least = std::min(facts.least, v);
    facts.largest = std::max(facts.largest, v);
    facts.signals += static_cast<double>(v != 0.0);
  }
  if (!(facts.largest > 0.0)) return facts;
  const double near = kNearLargest * facts.largest;
  for (const double v : intensity) {
    facts.near_largest += static_cast<double>(v >= near);
    facts.at_largest += static_cast<double>(v == facts.largest);
  }
  return facts;
}

void add_bands(const Spectrum& spectrum, std::span<const double> edges, std::span<float> out) {
  auto at = spectrum.mz.begin();
  for (std::size_t band = 0; band < out.size(); ++band) {
    at = std::lower_bound(at, spectrum.mz.end(), edges[band]);
    const auto end = std::lower_bound(at, spectrum.mz.end(), edges[band + 1]);
    double sum = 0.0;
    for (; at != end; ++at) sum += spectrum.intensity[static_cast<std::size_t>(at - spectrum.mz.begin())];
    out[band] = static_cast<float>(std::sqrt(std::max(0.0, sum)));
  }
}

}  // namespace

void spectrum_facts(const Plane& plane, std::span<const std::int64_t> spectra, std::span<const double> edges,
                    int threads, const std::atomic<bool>* cancel, std::span<SpectrumFacts> facts,
                    std::span<float> coarse) {
  constexpr std::int64_t kGrain = 64;
  const std::size_t n = spectra.size(), bands = edges.empty() ? 0 : edges.size() - 1;
  if (facts.size() != n || coarse.size() != n * bands) throw ArgumentError("spectrum_facts: output has the wrong size");
  std::fill(facts.begin(), facts.end(), SpectrumFacts{});
  std::fill(coarse.begin(), coarse.end(), 0.0F);
  std::vector<Spectrum> buffers(static_cast<std::size_t>(thread_count(threads)));
  const auto body = [&](std::int64_t begin, std::int64_t end, int worker) {
    Spectrum& spectrum = buffers[static_cast<std::size_t>(worker)];
    for (auto row = static_cast<std::size_t>(begin); row < static_cast<std::size_t>(end); ++row) {
      try {
        plane.read(spectra[row], spectrum);
      } catch (const FileError&) {
        continue;  // whoever needs the spectrum reports it
      }
      if (spectrum.intensity.empty()) continue;
      facts[row] = facts_of(spectrum.intensity);
      add_bands(spectrum, edges, coarse.subspan(row * bands, bands));
    }
  };
  parallel_for(static_cast<std::int64_t>(n), kGrain, threads, body, cancel);
}

}  // namespace imn::io
