// Finds the channels in one stretch of a peak histogram: their number, positions and strengths.
#pragma once

#include <atomic>
#include <vector>

namespace imn::images {

struct PeakComponent {
  double position;  // in cells of the stretch
  double peaks;     // number of peaks it explains
  bool known = false;
};

struct MixtureOptions {
  double sd = 1.0;          // of a component, in cells
  double background = 0.0;  // random peaks per cell
  double log10_p = -8.0;    // a component must be less likely than this to arise by chance from the rest
  double fewest_peaks = 2.0;
  const std::atomic<bool>* cancel = nullptr;  // read before every fit
};

// Fits components of a common normal shape over an even background to Poisson counts by expectation-maximisation.
// Starting from no components, each round adds some where the counts significantly exceed the model, and refits, until
// no excess remains. This finds a weak channel on the flank of a strong one even if their sum has one maximum.
// Components are returned in ascending position. The shape is approximate, so the caller must examine close pairs.
// `known` are components supported by other evidence; they take part from the first round and are kept.
std::vector<PeakComponent> fit_peak_mixture(const std::vector<double>& counts, const MixtureOptions& options,
                                            const std::vector<PeakComponent>& known = {});

}  // namespace imn::images
