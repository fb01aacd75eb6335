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

// Different pixels along the axis, counted up to `most`.
std::int64_t count_distinct(const std::vector<std::int64_t>& raw, std::size_t axis, std::int64_t origin,
                            std::uint64_t step, std::int64_t most) {
  std::vector<std::uint64_t> seen;
  for (std::size_t i = axis; i < raw.size() && static_cast<std::int64_t>(seen.size()) < most; i += 3) {
    const std::uint64_t pixel = distance(origin, raw[i]) / step;
    if (std::find(seen.begin(), seen.end(), pixel) == seen.end()) seen.push_back(pixel);
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

// Whether nearly all moves from one spectrum to the next along the axis are multiples of the step.
bool moves_keep(const std::vector<std::int64_t>& raw, std::size_t axis, std::uint64_t step) {
  std::int64_t moves = 0, multiples = 0;
  for (std::size_t i = axis; i + 3 < raw.size(); i += 3) {
    if (raw[i] == raw[i + 3]) continue;
    ++moves;
    multiples += distance(std::min(raw[i], raw[i + 3]), std::max(raw[i], raw[i + 3])) % step == 0;
  }
  return 10 * multiples >= 9 * moves;
}

// Tries a step that not all values share; takes it over if it holds for nearly all of them. Regions of one slide may
// each have an offset of their own, so that remainders may differ if nearly all moves are multiples of the step.
void try_step(const std::vector<std::int64_t>& raw, std::size_t axis, std::uint64_t step, AxisSteps& out) {
  constexpr std::uint64_t kMostRemainders = 1 << 16;
  constexpr std::uint64_t kOffsetsPerStep = 5;
  if (step < 2 || step > kMostRemainders) return;
  // A glance at some of them settles the usual case, in which no step fits.
  constexpr std::size_t kGlance = 200;
  const std::size_t most_used = std::max<std::size_t>(1, step / kOffsetsPerStep);
  const std::size_t stride = 3 * (1 + raw.size() / 3 / kGlance);
  std::vector<std::int64_t> count(step);
  std::size_t looked = 0, remainders = 0;
  for (std::size_t i = axis; i < raw.size(); i += stride, ++looked) {
    remainders += ++count[distance(out.lowest, raw[i]) % step] == 1;
  }
  if (remainders > most_used + looked / 10) return;
  std::fill(count.begin(), count.end(), 0);
  const auto n = static_cast<std::int64_t>(raw.size() / 3);
  for (std::size_t i = axis; i < raw.size(); i += 3) ++count[distance(out.lowest, raw[i]) % step];
  std::vector<std::uint64_t> used;
  std::int64_t off = n;
  for (std::uint64_t r = 0; r < step; ++r) {
    if (count[r] * kMostOffSteps < n) continue;
    used.push_back(r);
    off -= count[r];
  }
  if (used.empty() || used.size() > most_used || off * kMostOffSteps > n) return;
  if (used.size() > 1 && !moves_keep(raw, axis, step)) return;
  // A pixel begins in the middle of the largest gap between remainders; with one remainder, at that.
  std::uint64_t begin = used.front(), widest = 0;
  for (std::size_t i = 0; i < used.size() && used.size() > 1; ++i) {
    const std::uint64_t gap = i == 0 ? used.front() + step - used.back() : used[i] - used[i - 1];
    if (gap <= widest) continue;
    widest = gap;
    begin = (used[i] + step - gap / 2) % step;
  }
  // The first pixel lies at or below the lowest value; its position has to be a number.
  const std::uint64_t below = (step - begin) % step;
  if (distance(std::numeric_limits<std::int64_t>::min(), out.lowest) < below) return;
  const auto origin = static_cast<std::int64_t>(static_cast<std::uint64_t>(out.lowest) - below);
  if (count_distinct(raw, axis, origin, step, kManyValues) < kManyValues) return;
  out.step = step;
  out.origin = origin;
  out.off = off;
  out.offsets = static_cast<std::int64_t>(used.size());
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
    out.distinct = count_distinct(raw, axis, out.lowest, 1, kManyValues);
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
