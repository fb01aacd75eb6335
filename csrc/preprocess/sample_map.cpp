#include "preprocess/sample_map.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/parallel_for.h"
#include "preprocess/sample_images.h"
#include "preprocess/sample_split.h"

namespace imn::preprocess {
namespace {

constexpr std::int64_t kMostBlocks = 20'000;
constexpr double kLeastCoherence = 0.03;
constexpr std::int64_t kComponents = 3;
constexpr int kPowerSteps = 60;
constexpr double kNoiseQuantile = 0.95;

double dot(const double* a, const double* b, std::int64_t n) {
  // Four sums at once: a single one would wait for each addition.
  double sum[4] = {0.0, 0.0, 0.0, 0.0};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (std::int64_t k = 0; k < 4; ++k) sum[k] += a[i + k] * b[i + k];
  }
  for (; i < n; ++i) sum[0] += a[i] * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Coherent channels: their images, and the covariance of neighbours as a share of the variance.
struct Chosen {
  Doubles2 roots;
  std::vector<double> coherence;
  std::vector<double> variance;
};

Chosen choose_coherent(Doubles2 roots, const BlockGrid& grid, int threads, Flags& coherent) {
  std::vector<Structure> found(static_cast<std::size_t>(roots.n));
  parallel_for(roots.n, 1, threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t c = begin; c < end; ++c) {
      found[static_cast<std::size_t>(c)] = structure(roots.row(c), grid, grid.there);
    }
  });
  const double least = std::max(kLeastCoherence, 3.0 / std::sqrt(2.0 * static_cast<double>(grid.count)));
  Chosen chosen{Doubles2(0, roots.size), {}, {}};
  coherent.assign(found.size(), 0);
  for (std::int64_t c = 0; c < roots.n; ++c) {
    const Structure& each = found[static_cast<std::size_t>(c)];
    const double coherence = each.variance > 1e-9 ? each.covariance / each.variance : 0.0;
    if (!(coherence > least)) continue;
    coherent[static_cast<std::size_t>(c)] = 1;
    chosen.coherence.push_back(std::min(coherence, 1.0));
    chosen.variance.push_back(each.variance);
    if (chosen.roots.n < c) std::copy_n(roots.row(c), roots.size, roots.row(chosen.roots.n));
    ++chosen.roots.n;
  }
  chosen.roots.values = std::move(roots.values);
  return chosen;
}

// Smoothed images over the blocks that are there.
Doubles2 smoothed(const Doubles2& roots, const BlockGrid& grid, int threads, const std::atomic<bool>* cancel) {
  const Smoother smoother(grid, std::clamp(std::sqrt(static_cast<double>(grid.count)) / 100.0, 1.0, 2.0));
  Doubles2 out(roots.n, grid.count);
  parallel_for(
      roots.n, 1, threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<double> image(static_cast<std::size_t>(grid.size()));
        for (std::int64_t c = begin; c < end; ++c) {
          smoother(roots.row(c), image.data());
          double* to = out.row(c);
          for (std::size_t p = 0; p < image.size(); ++p) {
            if (grid.there[p] != 0) *to++ = image[p];
          }
        }
      },
      cancel);
  return out;
}

Doubles2 standardised(Doubles2 rows) {
  for (std::int64_t c = 0; c < rows.n; ++c) {
    double* row = rows.row(c);
    const auto n = static_cast<double>(rows.size);
    double sum = 0.0;
    for (std::int64_t p = 0; p < rows.size; ++p) sum += row[p];
    for (std::int64_t p = 0; p < rows.size; ++p) row[p] -= sum / n;
    const double deviation = std::max(std::sqrt(dot(row, row, rows.size) / n), 1e-9);
    for (std::int64_t p = 0; p < rows.size; ++p) row[p] /= deviation;
  }
  return rows;
}

Doubles2 correlations(const Doubles2& standard, int threads, const std::atomic<bool>* cancel) {
  Doubles2 out(standard.n, standard.n);
  parallel_for(
      standard.n, 1, threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t a = begin; a < end; ++a) {
          for (std::int64_t b = 0; b <= a; ++b) {  // no other worker writes either of the two entries
            const double r = dot(standard.row(a), standard.row(b), standard.size) / static_cast<double>(standard.size);
            out.row(a)[b] = r;
            out.row(b)[a] = r;
          }
        }
      },
      cancel);
  return out;
}

// One vote a pattern: the weight of a channel, shared with the channels that correlate with it.
std::vector<double> shared_votes(const Doubles2& correlation, const std::vector<double>& coherence) {
  std::vector<double> votes(coherence.size());
  double total = 0.0;
  for (std::size_t a = 0; a < votes.size(); ++a) {
    const double* row = correlation.row(static_cast<std::int64_t>(a));
    double shared = 0.0;
    for (std::size_t b = 0; b < votes.size(); ++b) shared += row[b] * row[b] * coherence[b];
    votes[a] = coherence[a] * coherence[a] / shared;
    total += votes[a];
  }
  for (double& vote : votes) vote /= total;
  return votes;
}

// Leading principal directions of the weighted channels, by power iteration with deflation.
std::vector<std::vector<double>> components(const Doubles2& correlation, const std::vector<double>& votes) {
  const auto n = static_cast<std::int64_t>(votes.size());
  std::vector<double> root(votes.size());
  std::transform(votes.begin(), votes.end(), root.begin(), [](double vote) { return std::sqrt(vote); });
  std::vector<std::vector<double>> found;
  for (std::int64_t k = 0; k < std::min(kComponents, n); ++k) {
    std::vector<double> vector(root);
    for (std::size_t i = 0; i < vector.size(); ++i) {
      if (i % static_cast<std::size_t>(k + 2) != 0) vector[i] *= 0.5;
    }
    for (int step = 0; step < kPowerSteps; ++step) {
      for (const std::vector<double>& other : found) {
        const double along = dot(vector.data(), other.data(), n);
        for (std::size_t i = 0; i < vector.size(); ++i) vector[i] -= along * other[i];
      }
      std::vector<double> next(votes.size());
      for (std::size_t a = 0; a < next.size(); ++a) {
        const double* row = correlation.row(static_cast<std::int64_t>(a));
        for (std::size_t b = 0; b < next.size(); ++b) next[a] += row[b] * root[b] * vector[b];
        next[a] *= root[a];
      }
      const double length = std::max(std::sqrt(dot(next.data(), next.data(), n)), 1e-12);
      for (double& value : next) value /= length;
      vector = std::move(next);
    }
    found.push_back(std::move(vector));
  }
  for (std::vector<double>& vector : found) {
    for (std::size_t i = 0; i < vector.size(); ++i) vector[i] *= root[i];
  }
  return found;
}

// Probability of the upper of two equally frequent normal distributions, made to rise with the position.
std::vector<double> posterior(const Split& split) {
  double sum[2] = {0.0, 0.0};
  double squares[2] = {0.0, 0.0};
  double n[2] = {0.0, 0.0};
  for (std::size_t p = 0; p < split.upper.size(); ++p) {
    sum[split.upper[p]] += split.position[p];
    n[split.upper[p]] += 1.0;
  }
  const double mean[2] = {sum[0] / n[0], sum[1] / n[1]};
  for (std::size_t p = 0; p < split.upper.size(); ++p) {
    const double d = split.position[p] - mean[split.upper[p]];
    squares[split.upper[p]] += d * d;
  }
  // A narrow group would claim hardly more than its mean; smoothing has mixed the pixels along the outline.
  const double gap = 0.15 * (mean[1] - mean[0]);
  const double variance[2] = {squares[0] / n[0] + gap * gap, squares[1] / n[1] + gap * gap};
  std::vector<double> out(split.position.size());
  for (std::size_t p = 0; p < out.size(); ++p) {
    const double x = std::clamp(split.position[p], mean[0], mean[1]);
    const double odds = -0.5 * (std::log(variance[1] / variance[0]) + (x - mean[1]) * (x - mean[1]) / variance[1] -
                                (x - mean[0]) * (x - mean[0]) / variance[0]);
    out[p] = 1.0 / (1.0 + std::exp(-odds));
  }
  return out;
}

// Probability of each block of the grid; 0 where it is not there.
std::vector<double> probabilities(const Split& best, const BlockGrid& grid, std::int64_t channels, double& off_sample) {
  const double upper = std::exp(std::min(best.log_odds_upper, 40.0));
  const double lower = std::exp(std::min(best.log_odds_lower, 40.0));
  const double share_upper = upper / (1.0 + upper + lower);
  const double share_lower = lower / (1.0 + upper + lower);
  off_sample = share_upper + share_lower;
  const double certain = static_cast<double>(channels) / (static_cast<double>(channels) + 1.0);
  const std::vector<double> up = posterior(best);
  std::vector<double> raw(grid.there.size());
  std::size_t k = 0;
  for (std::size_t p = 0; p < raw.size(); ++p) {
    if (grid.there[p] == 0) continue;
    const double inside = share_upper * up[k] + share_lower * (1.0 - up[k]) + 1.0 - off_sample;
    raw[p] = 0.5 + (inside - 0.5) * certain;
    ++k;
  }
  std::vector<double> out(raw.size());
  Smoother(grid, 0.7)(raw.data(), out.data());
  return out;
}

// Linear interpolation between the order statistics, as numpy.quantile.
double quantile(std::vector<double>& values, double level) {
  const double rank = level * static_cast<double>(values.size() - 1);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), below, values.end());
  const double above = below + 1 == values.end() ? *below : *std::min_element(below + 1, values.end());
  return *below + (above - *below) * (rank - std::floor(rank));
}

std::vector<double> noise_levels(const ImageStack& stack, const Flags& measured, const std::vector<float>& map,
                                 int threads, const std::atomic<bool>* cancel) {
  Flags outside;  // of each measured pixel
  for (std::size_t p = 0; p < measured.size(); ++p) {
    if (measured[p] != 0) outside.push_back(std::uint8_t{map[p] < 0.5F});
  }
  std::vector<double> noise(static_cast<std::size_t>(stack.n), std::numeric_limits<double>::quiet_NaN());
  if (std::count(outside.begin(), outside.end(), 1) < kFewestPixels) return noise;
  parallel_for(
      stack.n, 1, threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<float> scratch;
        std::vector<double> scaled;
        std::vector<double> values;
        for (std::int64_t i = begin; i < end; ++i) {
          scaled_image(stack, i, measured, scratch, scaled);
          values.clear();
          for (std::size_t p = 0; p < scaled.size(); ++p) {
            if (outside[p] != 0) values.push_back(scaled[p]);
          }
          noise[static_cast<std::size_t>(i)] = quantile(values, kNoiseQuantile);
        }
      },
      cancel);
  return noise;
}

}  // namespace

std::optional<SampleMap> sample_map(const ImageStack& stack, int threads, const std::atomic<bool>* cancel) {
  if (stack.n < kFewestChannels) return std::nullopt;
  const Flags measured = measured_in_any(stack);
  if (std::count(measured.begin(), measured.end(), 1) < kFewestPixels) return std::nullopt;
  const BlockGrid grid = block_grid(stack, measured, kMostBlocks);
  SampleMap result;
  const Chosen chosen =
      choose_coherent(block_means(stack, measured, grid, threads, cancel), grid, threads, result.coherent);
  const std::int64_t channels = chosen.roots.n;
  if (channels < kFewestChannels) return std::nullopt;

  const Doubles2 smooth = smoothed(chosen.roots, grid, threads, cancel);
  const Doubles2 standard = standardised(smooth);
  const Doubles2 correlation = correlations(standard, threads, cancel);
  const SplitInput input{
      grid, chosen.roots, smooth, standard, chosen.variance, shared_votes(correlation, chosen.coherence), threads};
  std::vector<std::vector<double>> directions = components(correlation, input.votes);
  directions.insert(directions.begin(), input.votes);
  const auto strength = [](const Split& each) { return std::max(each.log_odds_upper, each.log_odds_lower); };
  std::optional<Split> best;
  for (std::vector<double>& direction : directions) {
    std::optional<Split> found = split(input, std::move(direction));
    if (found && (!best || strength(*found) > strength(*best))) best = std::move(found);
  }
  if (!best) return std::nullopt;

  const std::vector<double> probability = probabilities(*best, grid, channels, result.off_sample);
  result.separation = best->separation;
  result.map.resize(measured.size());
  for (std::int64_t p = 0; p < stack.pixels(); ++p) {
    const std::int64_t block = p / stack.width / grid.factor * grid.width + p % stack.width / grid.factor;
    const auto i = static_cast<std::size_t>(p);
    result.map[i] = measured[i] != 0 ? static_cast<float>(probability[static_cast<std::size_t>(block)]) : 0.0F;
  }
  result.noise = noise_levels(stack, measured, result.map, threads, cancel);
  return result;
}

}  // namespace imn::preprocess
