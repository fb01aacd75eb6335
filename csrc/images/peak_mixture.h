// Channels in one stretch of a peak histogram: how many, where, how strong.
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
  double log10_p = -8.0;    // a component must be less likely than this to be a chance heap of the rest
  double fewest_peaks = 2.0;
  const std::atomic<bool>* cancel = nullptr;  // read before every fit
};

// Components of a common normal shape over an even background, fitted by expectation-maximisation to Poisson counts. It
// starts empty; every round adds components where the counts exceed the fitted model significantly and fits again,
// until nothing exceeds it. So a weak channel on the flank of a strong one is found although the sum of the two has
// one maximum. Ascending in position. The shape is approximate, so the caller must examine close pairs.
// `known`: components that other evidence calls for; they take part from the first round on and stay.
std::vector<PeakComponent> fit_peak_mixture(const std::vector<double>& counts, const MixtureOptions& options,
                                            const std::vector<PeakComponent>& known = {});

}  // namespace imn::images
