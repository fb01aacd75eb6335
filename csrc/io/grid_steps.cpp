#include "io/grid_steps.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <unordered_map>

namespace imn::io {

namespace {

constexpr std::int64_t kFewestValues = 4;    // for a small step that all values share
constexpr std::int64_t kManyValues = 8;      // for a step that some values do not share
constexpr std::int64_t kMostOffSteps = 100;  // one value in so many may lie between the steps

// Distances of any two int64 fit.
std::uint64_t distance(std::int64_t from, std::int64_t to) {
  return static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
}

// Different values with this remainder, counted up to `most`.
std::int64_t count_distinct(const std::vector<std::int64_t>& raw, std::size_t axis, std::int64_t lowest,
                            std::uint64_t step, std::uint64_t remainder, std::int64_t most) {
  std::vector<std::int64_t> seen;
  for (std::size_t i = axis; i < raw.size() && static_cast<std::int64_t>(seen.size()) < most; i += 3) {
    if (distance(lowest, raw[i]) % step != remainder) continue;
    if (std::find(seen.begin(), seen.end(), raw[i]) == seen.end()) seen.push_back(raw[i]);
  }
  return static_cast<std::int64_t>(seen.size());
}

// The most frequent distance of two consecutive spectra along the axis; 0 if they never move.
std::uint64_t usual_move(const std::vector<std::int64_t>& raw, std::size_t axis) {
  constexpr std::size_t kLooked = 20'000;
  std::unordered_map<std::uint64_t, std::int64_t> moves;
  for (std::size_t i = axis; i + 3 < raw.size() && i < 3 * kLooked; i += 3) {
    const std::int64_t a = std::min(raw[i], raw[i + 3]), b = std::max(raw[i], raw[i + 3]);
    if (a != b) ++moves[distance(a, b)];
  }
  std::uint64_t best = 0;
  std::int64_t most = 0;
  for (const auto& [move, count] : moves) {
    if (count > most || (count == most && move < best)) {
      best = move;
      most = count;
    }
  }
  return best;
}

// Tries a step that a few values do not share; takes it over if it holds for nearly all of them.
void try_step(const std::vector<std::int64_t>& raw, std::size_t axis, std::uint64_t step, AxisSteps& out) {
  constexpr std::uint64_t kMostRemainders = 1 << 16;
  if (step < 2 || step > kMostRemainders) return;
  const auto n = static_cast<std::int64_t>(raw.size() / 3);
  // A glance at some of them settles the usual case, in which no step fits.
  constexpr std::size_t kGlance = 200;
  const std::size_t stride = 3 * (1 + raw.size() / 3 / kGlance);
  std::vector<std::int64_t> count(step);
  std::int64_t looked = 0, shared = 0;
  for (std::size_t i = axis; i < raw.size(); i += stride, ++looked) {
    shared = std::max(shared, ++count[distance(out.lowest, raw[i]) % step]);
  }
  if (shared * 10 < looked * 9) return;
  std::fill(count.begin(), count.end(), 0);
  for (std::size_t i = axis; i < raw.size(); i += 3) ++count[distance(out.lowest, raw[i]) % step];
  const auto most = std::max_element(count.begin(), count.end());
  const std::int64_t off = n - *most;
  if (off * kMostOffSteps > n) return;
  const auto remainder = static_cast<std::uint64_t>(most - count.begin());
  if (count_distinct(raw, axis, out.lowest, step, remainder, kManyValues) < kManyValues) return;
  // The first pixel lies at or below the lowest value; its position has to be a number.
  const std::uint64_t below = (step - remainder) % step;
  if (distance(std::numeric_limits<std::int64_t>::min(), out.lowest) < below) return;
  out.step = step;
  out.origin = static_cast<std::int64_t>(static_cast<std::uint64_t>(out.lowest) - below);
  out.off = off;
}

}  // namespace

AxisSteps find_steps(const std::vector<std::int64_t>& raw, std::size_t axis, std::optional<std::int64_t> declared) {
  AxisSteps out;
  out.lowest = std::numeric_limits<std::int64_t>::max();
  out.highest = std::numeric_limits<std::int64_t>::min();
  for (std::size_t i = axis; i < raw.size(); i += 3) {
    out.lowest = std::min(out.lowest, raw[i]);
    out.highest = std::max(out.highest, raw[i]);
  }
  out.origin = out.lowest;
  std::uint64_t common = 0;
  for (std::size_t i = axis; i < raw.size() && common != 1; i += 3) {
    common = std::gcd(common, distance(out.lowest, raw[i]));
  }
  const bool fewer_declared =
      declared && *declared > 0 && distance(out.lowest, out.highest) >= static_cast<std::uint64_t>(*declared);
  if (common >= kSmallestStageStep || (common > 1 && fewer_declared)) {
    out.step = common;
    return out;
  }
  if (common > 1 && axis < 2) {
    out.distinct = count_distinct(raw, axis, out.lowest, 1, 0, kManyValues);
    (out.distinct < kFewestValues ? out.not_divided : out.step) = common;
    return out;
  }
  if (common != 1 || axis == 2) return out;
  for (const std::uint64_t step : {usual_move(raw, axis), std::uint64_t{4}, std::uint64_t{3}, std::uint64_t{2}}) {
    try_step(raw, axis, step, out);
    if (out.step != 1) break;
  }
  return out;
}

}  // namespace imn::io
