#include "images/peak_mixture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "core/multiversion.h"
#include "images/normal_table.h"
#include "images/poisson.h"

namespace imn::images {
namespace {

constexpr int kRounds = 8;
constexpr int kSteps = 150;          // of expectation-maximisation per round
constexpr double kReach = 4.5;       // standard deviations over which a component is evaluated
constexpr double kApart = 1.2;       // standard deviations; minimum distance between components
constexpr double kMerged = 2.0;      // standard deviations; closer components are merged at the end
constexpr double kSplitApart = 1.4;  // standard deviations from a component to each of the two that replace it
constexpr double kSplitGain = 8.0;   // log-likelihood
constexpr double kSettled = 1e-4;    // largest move of a step that ends expectation-maximisation
constexpr int kTrialSteps = 8;       // between looks at the likelihood of a trial split
constexpr double kTrialPatience = 4.0;
constexpr double kTrialMargin = 0.5;  // log-likelihood
constexpr double kHeldWithin = 5.0;   // standard deviations
constexpr double kHeldShare = 0.5;    // of the stronger component
constexpr double kModelError = 0.05;  // relative error allowed for the fitted shape

// The share of a unit normal distribution in each cell around a position.
struct Shape {
  std::ptrdiff_t first = 0;
  std::vector<double> share;
};

std::ptrdiff_t floor_of(double x) {
  const auto truncated = static_cast<std::ptrdiff_t>(x);
  return truncated - (x < static_cast<double>(truncated) ? 1 : 0);
}

IMN_MULTIVERSION void interpolate_rows(const double* __restrict r0, const double* __restrict r1,
                                       const double* __restrict r2, const double* __restrict r3,
                                       const std::array<double, 4>& weights, std::size_t n, double* __restrict out) {
  const auto [w0, w1, w2, w3] = weights;
  for (std::size_t i = 0; i < n; ++i) out[i] = w0 * r0[i] + w1 * r1[i] + w2 * r2[i] + w3 * r3[i];
}

IMN_MULTIVERSION void add_scaled(const double* __restrict values, double scale, std::size_t n, double* __restrict sum) {
  for (std::size_t i = 0; i < n; ++i) sum[i] += scale * values[i];
}

IMN_MULTIVERSION void divide(const double* __restrict counts, const double* __restrict model, std::size_t n,
                             double* __restrict ratio) {
  for (std::size_t i = 0; i < n; ++i) ratio[i] = counts[i] / (model[i] > 0.0 ? model[i] : 1.0);
}

// Evaluates shapes of one standard deviation, millions of times: by cubic interpolation between rows, each holding the
// shares for one position within a cell. The error is below 1e-10 at four cells per standard deviation, the usual
// case, and below 1e-7 at one.
class ShapeTable {
 public:
  explicit ShapeTable(double sd)
      : sd_(sd),
        reach_(floor_of(kReach * sd) + 2),
        cells_(static_cast<std::size_t>(2 * reach_ + 1)),
        rows_(kRows + 3) {}

  void evaluate(double position, std::ptrdiff_t cells, Shape& shape) {
    const std::ptrdiff_t base = floor_of(position);
    shape.first = std::clamp<std::ptrdiff_t>(floor_of(position - kReach * sd_), 0, cells);
    const std::ptrdiff_t to = -floor_of(-(position + kReach * sd_));
    const std::ptrdiff_t last = std::clamp<std::ptrdiff_t>(to + 1, shape.first, cells);
    const auto n = static_cast<std::size_t>(last - shape.first);
    shape.share.resize(n);
    if (n == 0) return;
    const double place = (position - static_cast<double>(base)) * kRows;
    const std::size_t row = std::min<std::size_t>(static_cast<std::size_t>(place), kRows - 1);
    const double t = place - static_cast<double>(row);
    const double w0 = -t * (t - 1.0) * (t - 2.0) / 6.0;
    const double w1 = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0;
    const double w2 = -(t + 1.0) * t * (t - 2.0) / 2.0;
    const double w3 = (t + 1.0) * t * (t - 1.0) / 6.0;
    const auto skipped = static_cast<std::size_t>(shape.first - (base - reach_));
    const double* r0 = shares(row) + skipped;
    const double* r1 = shares(row + 1) + skipped;
    const double* r2 = shares(row + 2) + skipped;
    const double* r3 = shares(row + 3) + skipped;
    double* out = shape.share.data();
    interpolate_rows(r0, r1, r2, r3, {w0, w1, w2, w3}, n, out);
  }

 private:
  static constexpr std::size_t kRows = 32;

  // Row r holds the shares for the position (r - 1) / kRows, in the cells -reach_ ... reach_.
  const double* shares(std::size_t r) {
    std::vector<double>& row = rows_[r];
    if (row.empty()) {
      row.resize(cells_);
      const double position = (static_cast<double>(r) - 1.0) / static_cast<double>(kRows);
      const NormalTable& normal = normal_table();
      const double scale = 1.0 / sd_;
      double below = normal.below((static_cast<double>(-reach_) - 0.5 - position) * scale);
      for (std::size_t i = 0; i < cells_; ++i) {
        const double above =
            normal.below((static_cast<double>(i) - static_cast<double>(reach_) + 0.5 - position) * scale);
        row[i] = above - below;
        below = above;
      }
    }
    return row.data();
  }

  double sd_;
  std::ptrdiff_t reach_;
  std::size_t cells_;
  std::vector<std::vector<double>> rows_;
};

// Sums of weight and of weight times index, in a fixed order that a compiler can turn into vector instructions.
struct Weighted {
  double sum, inside, centre;
};

IMN_MULTIVERSION Weighted weigh(const double* __restrict share, const double* __restrict ratio, std::size_t n) {
  double sum[4] = {}, inside[4] = {}, centre[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const auto first = static_cast<double>(i);
    for (std::size_t lane = 0; lane < 4; ++lane) {
      const double weight = share[i + lane] * ratio[i + lane];
      inside[lane] += share[i + lane];
      sum[lane] += weight;
      centre[lane] += weight * (first + static_cast<double>(lane));
    }
  }
  for (; i < n; ++i) {
    const double weight = share[i] * ratio[i];
    inside[0] += share[i];
    sum[0] += weight;
    centre[0] += weight * static_cast<double>(i);
  }
  const auto total = [](const double* lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); };
  return {total(sum), total(inside), total(centre)};
}

class Fit {
 public:
  Fit(const std::vector<double>& counts, const MixtureOptions& options, ShapeTable& table)
      : counts_(counts),
        options_(options),
        table_(table),
        model_(counts.size(), options.background),
        ratio_(counts.size()) {}

  const std::vector<PeakComponent>& components() const { return components_; }
  std::vector<PeakComponent>& components() { return components_; }

  void add(PeakComponent component) {
    const auto at = std::lower_bound(components_.begin(), components_.end(), component,
                                     [](const auto& a, const auto& b) { return a.position < b.position; });
    components_.insert(at, component);
  }

  // One step of expectation-maximisation, after update_model(). Returns the largest move.
  double step() {
    divide(counts_.data() + active_first_, model_.data() + active_first_, active_last_ - active_first_,
           ratio_.data() + active_first_);
    double moved = 0.0;
    for (std::size_t k = 0; k < components_.size(); ++k) {
      double& position = components_[k].position;
      double& peaks = components_[k].peaks;
      const Shape& shape = shapes_[k];
      const Weighted found =
          weigh(shape.share.data(), ratio_.data() + static_cast<std::size_t>(shape.first), shape.share.size());
      const double weight = peaks * found.sum;
      if (weight <= 1e-9) {
        peaks = 0.0;
        continue;
      }
      const double centre = static_cast<double>(shape.first) + found.centre / found.sum;
      moved = std::max(moved, std::abs(centre - position) / options_.sd + std::abs(weight - peaks) / (weight + peaks));
      if (!held(k)) position = centre;
      peaks = weight / std::max(found.inside, 0.1);
    }
    return moved;
  }

  void optimise() {
    throw_if_cancelled(options_.cancel);
    for (int i = 0; i < kSteps; ++i) {
      update_model();
      if (step() < kSettled) break;
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
      if (before[k].known || !may_split(k)) continue;
      const PeakComponent one = before[k];
      components_[k] = {one.position - kSplitApart * options_.sd, 0.5 * one.peaks};
      add({one.position + kSplitApart * options_.sd, 0.5 * one.peaks});
      optimise();
      bool apart = components_.size() == before.size() + 1;
      for (std::size_t j = 0; apart && j + 1 < components_.size(); ++j) {
        apart = components_[j + 1].position - components_[j].position >= kMerged * options_.sd;
      }
      if (apart && log_likelihood() - likelihood > kSplitGain) return true;
      components_ = before;
      update_model();
    }
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
  // Returns whether two components in place of one could gain kSplitGain. Fits only the components whose shapes touch,
  // and stops once no further step can lead there, which is nearly always soon: most components are one channel.
  bool may_split(std::size_t k) {
    const double touching = 2.0 * kReach * options_.sd + 3.0;
    std::size_t first = k;
    std::size_t last = k + 1;
    while (first > 0 && components_[first].position - components_[first - 1].position < touching) --first;
    while (last < components_.size() && components_[last].position - components_[last - 1].position < touching) ++last;
    const std::ptrdiff_t from = shapes_[first].first;
    std::ptrdiff_t to = from;
    for (std::size_t j = first; j < last; ++j) {
      to = std::max(to, shapes_[j].first + static_cast<std::ptrdiff_t>(shapes_[j].share.size()));
    }
    const std::vector<double> counts(counts_.begin() + from, counts_.begin() + to);
    Fit part(counts, options_, table_);
    for (std::size_t j = first; j < last; ++j) {
      PeakComponent component = components_[j];
      component.position -= static_cast<double>(from);
      part.components_.push_back(component);
    }
    part.update_model();
    const double needed = part.log_likelihood() + kSplitGain - kTrialMargin;
    PeakComponent& left = part.components_[k - first];
    const PeakComponent right{left.position + kSplitApart * options_.sd, 0.5 * left.peaks};
    left = {left.position - kSplitApart * options_.sd, right.peaks};
    part.add(right);
    double before = -INFINITY;
    for (int step = 0; step < kSteps; ++step) {
      part.update_model();
      if (step > 0 && step % kTrialSteps == 0) {
        const double now = part.log_likelihood();
        // Later steps gain less than earlier ones; the factor allows for a slow start.
        if (step > kTrialSteps && now + kTrialPatience * step * (now - before) / kTrialSteps < needed) return false;
        before = now;
      }
      if (part.step() < kSettled) break;
    }
    part.update_model();
    return part.log_likelihood() > needed;
  }

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
    // Elsewhere, the model is the background.
    std::fill(model_.begin() + static_cast<std::ptrdiff_t>(active_first_),
              model_.begin() + static_cast<std::ptrdiff_t>(active_last_), options_.background);
    active_first_ = model_.size();
    active_last_ = 0;
    shapes_.resize(components_.size());
    for (std::size_t k = 0; k < components_.size(); ++k) {
      Shape& shape = shapes_[k];
      table_.evaluate(components_[k].position, static_cast<std::ptrdiff_t>(counts_.size()), shape);
      const auto first = static_cast<std::size_t>(shape.first);
      add_scaled(shape.share.data(), components_[k].peaks, shape.share.size(), model_.data() + first);
      active_first_ = std::min(active_first_, first);
      active_last_ = std::max(active_last_, first + shape.share.size());
    }
    active_first_ = std::min(active_first_, active_last_);
  }

  const std::vector<double>& counts_;
  const MixtureOptions& options_;
  std::vector<PeakComponent> components_;
  std::vector<Shape> shapes_;
  ShapeTable& table_;
  std::vector<double> model_;                       // expected count of every cell
  std::vector<double> ratio_;                       // counts over model in the active cells
  std::size_t active_first_ = 0, active_last_ = 0;  // cells that hold shapes
};

}  // namespace

std::vector<PeakComponent> fit_peak_mixture(const std::vector<double>& counts, const MixtureOptions& options,
                                            const std::vector<PeakComponent>& known) {
  ShapeTable table(options.sd);
  Fit fit(counts, options, table);
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
