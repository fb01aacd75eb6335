#include "images/peak_mixture.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "images/poisson.h"

namespace imn::images {
namespace {

constexpr int kRounds = 8;
constexpr int kSteps = 150;           // of expectation-maximisation per round
constexpr double kReach = 4.5;        // standard deviations over which a component is evaluated
constexpr double kApart = 1.2;        // standard deviations; minimum distance between components
constexpr double kMerged = 2.0;       // standard deviations; closer components are merged at the end
constexpr double kSplitGain = 8.0;    // log-likelihood
constexpr double kHeldWithin = 5.0;   // standard deviations
constexpr double kHeldShare = 0.5;    // of the stronger component
constexpr double kModelError = 0.05;  // relative error allowed for the fitted shape

// The share of a unit normal distribution in each cell around `position`.
struct Shape {
  std::ptrdiff_t first = 0;
  std::vector<double> share;
};

void evaluate(double position, double sd, std::ptrdiff_t cells, Shape& shape) {
  const auto from = static_cast<std::ptrdiff_t>(std::floor(position - kReach * sd));
  const auto to = static_cast<std::ptrdiff_t>(std::ceil(position + kReach * sd));
  shape.first = std::clamp<std::ptrdiff_t>(from, 0, cells);
  const std::ptrdiff_t last = std::clamp<std::ptrdiff_t>(to + 1, shape.first, cells);
  shape.share.resize(static_cast<std::size_t>(last - shape.first));
  const double scale = 1.0 / (sd * std::sqrt(2.0));
  double below = std::erf((static_cast<double>(shape.first) - 0.5 - position) * scale);
  for (std::size_t i = 0; i < shape.share.size(); ++i) {
    const double above = std::erf((static_cast<double>(shape.first) + static_cast<double>(i) + 0.5 - position) * scale);
    shape.share[i] = 0.5 * (above - below);
    below = above;
  }
}

class Fit {
 public:
  Fit(const std::vector<double>& counts, const MixtureOptions& options)
      : counts_(counts), options_(options), model_(counts.size(), options.background) {}

  const std::vector<PeakComponent>& components() const { return components_; }
  std::vector<PeakComponent>& components() { return components_; }

  void add(PeakComponent component) {
    const auto at = std::lower_bound(components_.begin(), components_.end(), component,
                                     [](const auto& a, const auto& b) { return a.position < b.position; });
    components_.insert(at, component);
  }

  void optimise() {
    throw_if_cancelled(options_.cancel);
    for (int step = 0; step < kSteps; ++step) {
      update_model();
      double moved = 0.0;
      for (std::size_t k = 0; k < components_.size(); ++k) {
        double& position = components_[k].position;
        double& peaks = components_[k].peaks;
        const Shape& shape = shapes_[k];
        double weight = 0.0;
        double centre = 0.0;
        double inside = 0.0;
        for (std::size_t i = 0; i < shape.share.size(); ++i) {
          const std::size_t c = static_cast<std::size_t>(shape.first) + i;
          inside += shape.share[i];
          if (counts_[c] == 0.0 || model_[c] <= 0.0) continue;
          const double share = counts_[c] * peaks * shape.share[i] / model_[c];
          weight += share;
          centre += share * static_cast<double>(c);
        }
        if (weight <= 1e-9) {
          peaks = 0.0;
          continue;
        }
        moved = std::max(
            moved, std::abs(centre / weight - position) / options_.sd + std::abs(weight - peaks) / (weight + peaks));
        if (!held(k)) position = centre / weight;
        peaks = weight / std::max(inside, 0.1);
      }
      if (moved < 1e-4) break;
    }
    std::erase_if(components_, [&](const auto& c) { return c.peaks < options_.fewest_peaks; });
    update_model();
  }

  // Returns places where the counts within one standard deviation exceed the model, most significant first. No place is
  // closer than three standard deviations to a better one.
  std::vector<PeakComponent> unexplained() const {
    const auto n = static_cast<std::ptrdiff_t>(counts_.size());
    // 1.4 is the best box for a weak peak over a background. Once strong components are fitted, a narrower box is less
    // affected by them.
    const double reach = components_.empty() ? 1.4 : 1.0;
    const auto half = std::max<std::ptrdiff_t>(0, std::llround(reach * options_.sd));
    struct Place {
      double log10_p;
      PeakComponent component;
    };
    std::vector<Place> places;
    double seen = 0.0;
    double expected = 0.0;
    for (std::ptrdiff_t c = -half; c < n; ++c) {
      if (c + half < n) {
        seen += counts_[static_cast<std::size_t>(c + half)];
        expected += model_[static_cast<std::size_t>(c + half)];
      }
      if (c - half - 1 >= 0) {
        seen -= counts_[static_cast<std::size_t>(c - half - 1)];
        expected -= model_[static_cast<std::size_t>(c - half - 1)];
      }
      if (c < 0 || seen < options_.fewest_peaks) continue;
      const double level = std::max(expected, 1e-12);
      if (seen - level < 4.0 * std::sqrt(level)) continue;
      const double log10_p = log10_poisson_tail(seen, level * (1.0 + (components_.empty() ? 0.0 : kModelError)));
      if (log10_p > options_.log10_p) continue;
      places.push_back({log10_p, {static_cast<double>(c), seen - level}});
    }
    // Several boxes contain all counts of a sharp peak and have equal significance. The middle of such a run is the
    // best start; expectation-maximisation does the rest.
    std::stable_sort(places.begin(), places.end(),
                     [](const Place& a, const Place& b) { return a.log10_p < b.log10_p; });
    std::vector<PeakComponent> chosen;
    for (const Place& place : places) {
      const auto near = [&](const std::vector<PeakComponent>& others, double distance) {
        return std::any_of(others.begin(), others.end(), [&](const PeakComponent& other) {
          return std::abs(other.position - place.component.position) < distance * options_.sd;
        });
      };
      if (!near(chosen, 3.0) && !near(components_, kApart)) chosen.push_back(place.component);
    }
    return chosen;
  }

  // Of components closer than kMerged, removes the one whose loss costs least. Components are added one by one, so an
  // early one between two channels becomes redundant once both have their own.
  bool thin() {
    std::vector<char> crowded(components_.size(), 0);
    bool any = false;
    for (std::size_t k = 0; k + 1 < components_.size(); ++k) {
      for (std::size_t j = k + 1; j < components_.size(); ++j) {
        if (std::abs(components_[k].position - components_[j].position) >= kMerged * options_.sd) continue;
        crowded[k] = crowded[j] = 1;
        any = true;
      }
    }
    if (!any) return false;
    const std::vector<PeakComponent> before = components_;
    std::vector<PeakComponent> best;
    double most = -INFINITY;
    for (std::size_t k = 0; k < before.size(); ++k) {
      if (crowded[k] == 0) continue;
      components_ = before;
      components_.erase(components_.begin() + static_cast<std::ptrdiff_t>(k));
      optimise();
      if (const double likelihood = log_likelihood(); likelihood > most) {
        most = likelihood;
        best = components_;
      }
    }
    components_ = best;
    update_model();
    return true;
  }

  // Replaces a component with two where this explains the counts much better. Two weak channels may both lie too close
  // to a component between them to appear as an excess.
  bool split() {
    update_model();
    const double likelihood = log_likelihood();
    const std::vector<PeakComponent> before = components_;
    for (std::size_t k = 0; k < before.size(); ++k) {
      if (before[k].known) continue;
      components_ = before;
      const PeakComponent one = before[k];
      components_[k] = {one.position - 1.4 * options_.sd, 0.5 * one.peaks};
      add({one.position + 1.4 * options_.sd, 0.5 * one.peaks});
      optimise();
      bool apart = components_.size() == before.size() + 1;
      for (std::size_t j = 0; apart && j + 1 < components_.size(); ++j) {
        apart = components_[j + 1].position - components_[j].position >= kMerged * options_.sd;
      }
      if (apart && log_likelihood() - likelihood > kSplitGain) return true;
    }
    components_ = before;
    update_model();
    return false;
  }

  // Removes components whose counts the others and the background explain as well.
  bool prune() {
    update_model();
    for (std::size_t k = 0; k < components_.size(); ++k) {
      if (components_[k].known) continue;
      const Shape& shape = shapes_[k];
      double seen = 0.0;
      double others = 0.0;
      for (std::size_t i = 0; i < shape.share.size(); ++i) {
        const std::size_t c = static_cast<std::size_t>(shape.first) + i;
        if (std::abs(static_cast<double>(c) - components_[k].position) > 1.5 * options_.sd + 0.5) continue;
        seen += counts_[c];
        others += model_[c] - components_[k].peaks * shape.share[i];
      }
      if (log10_poisson_tail(seen, std::max(others, 1e-12)) > options_.log10_p) {
        components_.erase(components_.begin() + static_cast<std::ptrdiff_t>(k));
        return true;
      }
    }
    return false;
  }

 private:
  // A known component in the flank of a stronger one is held in place: the counts hardly constrain its position, and
  // the fit would move it towards the stronger one.
  bool held(std::size_t k) const {
    const PeakComponent& c = components_[k];
    return c.known && std::any_of(components_.begin(), components_.end(), [&](const PeakComponent& other) {
             return std::abs(other.position - c.position) < kHeldWithin * options_.sd &&
                    c.peaks < kHeldShare * other.peaks;
           });
  }

  double log_likelihood() const {
    double sum = 0.0;
    for (std::size_t c = 0; c < counts_.size(); ++c) {
      sum -= model_[c];
      if (counts_[c] > 0.0) sum += counts_[c] * std::log(std::max(model_[c], 1e-300));
    }
    return sum;
  }

  void update_model() {
    std::fill(model_.begin(), model_.end(), options_.background);
    shapes_.resize(components_.size());
    for (std::size_t k = 0; k < components_.size(); ++k) {
      evaluate(components_[k].position, options_.sd, static_cast<std::ptrdiff_t>(counts_.size()), shapes_[k]);
      for (std::size_t i = 0; i < shapes_[k].share.size(); ++i) {
        model_[static_cast<std::size_t>(shapes_[k].first) + i] += components_[k].peaks * shapes_[k].share[i];
      }
    }
  }

  const std::vector<double>& counts_;
  const MixtureOptions& options_;
  std::vector<PeakComponent> components_;
  std::vector<Shape> shapes_;
  std::vector<double> model_;  // expected count of every cell
};

}  // namespace

std::vector<PeakComponent> fit_peak_mixture(const std::vector<double>& counts, const MixtureOptions& options,
                                            const std::vector<PeakComponent>& known) {
  Fit fit(counts, options);
  for (PeakComponent component : known) {
    component.known = true;
    fit.add(component);
  }
  if (!known.empty()) fit.optimise();
  for (int round = 0; round < kRounds; ++round) {
    const auto more = fit.unexplained();
    if (more.empty()) break;
    for (const PeakComponent& component : more) fit.add(component);
    fit.optimise();
  }
  while (fit.thin()) {
  }
  for (int round = 0; round < kRounds && fit.split(); ++round) {
  }
  while (fit.prune()) fit.optimise();
  auto result = fit.components();
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.position < b.position; });
  return result;
}

}  // namespace imn::images
