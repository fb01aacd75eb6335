#include "io/regions.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>

namespace imn::io {

namespace {

// Measured pixels of one row, each at most kRegionReach from the next.
struct Run {
  std::int32_t z, y, first, last;
  std::int64_t n_pixels;
  std::int64_t root;  // index of a run of the same region; the region's own for its first one
};

std::int64_t root_of(std::vector<Run>& runs, std::int64_t i) {
  while (runs[static_cast<std::size_t>(i)].root != i) {
    Run& run = runs[static_cast<std::size_t>(i)];
    run.root = runs[static_cast<std::size_t>(run.root)].root;
    i = run.root;
  }
  return i;
}

void join(std::vector<Run>& runs, std::int64_t a, std::int64_t b) {
  a = root_of(runs, a);
  b = root_of(runs, b);
  runs[static_cast<std::size_t>(std::max(a, b))].root = std::min(a, b);
}

// The runs of all rows, by z, y, x, and the run of each spectrum.
std::vector<Run> find_runs(std::span<const std::int32_t> c, std::vector<std::int64_t>& run_of) {
  const std::size_t n = c.size() / 3;
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  auto key = [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(3 * i);
    return std::tuple(c[at + 2], c[at + 1], c[at]);
  };
  auto less = [&](std::int64_t a, std::int64_t b) { return key(a) < key(b); };
  if (!std::is_sorted(order.begin(), order.end(), less)) std::sort(order.begin(), order.end(), less);
  std::vector<Run> runs;
  run_of.resize(n);
  for (const std::int64_t i : order) {
    const auto [z, y, x] = key(i);
    if (runs.empty() || runs.back().z != z || runs.back().y != y || x - runs.back().last > kRegionReach) {
      runs.push_back({z, y, x, x, 1, static_cast<std::int64_t>(runs.size())});
    } else if (x != runs.back().last) {
      runs.back().last = x;
      ++runs.back().n_pixels;
    }
    run_of[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(runs.size()) - 1;
  }
  return runs;
}

// Joins the runs of a row with those of one that lies before it in `runs`.
void join_rows(std::vector<Run>& runs, std::size_t a, std::size_t a_end, std::size_t b, std::size_t b_end) {
  while (a != a_end && b != b_end) {
    if (runs[a].first - runs[b].last <= kRegionReach && runs[b].first - runs[a].last <= kRegionReach) {
      join(runs, static_cast<std::int64_t>(a), static_cast<std::int64_t>(b));
    }
    ++(runs[a].last < runs[b].last ? a : b);
  }
}

void join_all(std::vector<Run>& runs) {
  struct Row {
    std::size_t begin, end;
  };
  std::vector<Row> rows;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (i == 0 || runs[i].y != runs[i - 1].y || runs[i].z != runs[i - 1].z) rows.push_back({i, i});
    rows.back().end = i + 1;
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const Run& here = runs[rows[r].begin];
    for (std::size_t above = r; above-- > 0;) {
      const Run& there = runs[rows[above].begin];
      if (there.z != here.z || here.y - there.y > kRegionReach) break;
      join_rows(runs, rows[r].begin, rows[r].end, rows[above].begin, rows[above].end);
    }
  }
}

}  // namespace

Regions find_regions(std::span<const std::int32_t> coordinates) {
  Regions out;
  std::vector<std::int64_t> run_of;
  std::vector<Run> runs = find_runs(coordinates, run_of);
  join_all(runs);
  // One box per root, in the order of the roots: by z, y, x of their first run.
  std::vector<std::int32_t> box_of(runs.size(), -1);
  std::vector<Region> boxes;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto root = static_cast<std::size_t>(root_of(runs, static_cast<std::int64_t>(i)));
    const Run& run = runs[i];
    if (box_of[root] < 0) {
      box_of[root] = static_cast<std::int32_t>(boxes.size());
      boxes.push_back({0, 0, run.first - 1, run.y - 1, 0, 0});
    }
    box_of[i] = box_of[root];
    Region& box = boxes[static_cast<std::size_t>(box_of[i])];
    const std::int32_t right = std::max(box.x0 + box.width, run.last), bottom = std::max(box.y0 + box.height, run.y);
    box.x0 = std::min(box.x0, run.first - 1);
    box.width = right - box.x0;
    box.height = bottom - box.y0;
    box.n_pixels += run.n_pixels;
  }
  std::vector<std::size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(-boxes[a].n_pixels, boxes[a].y0, boxes[a].x0, a) <
           std::tuple(-boxes[b].n_pixels, boxes[b].y0, boxes[b].x0, b);
  });
  for (const std::size_t b : order) {
    const std::int64_t largest = boxes[order.front()].n_pixels;
    if (b != order.front() && (boxes[b].n_pixels < kSmallestRegion || boxes[b].n_pixels * kSmallestShare < largest)) {
      out.left_out += boxes[b].n_pixels;
      continue;
    }
    boxes[b].number = static_cast<std::int32_t>(out.regions.size()) + 1;
    out.regions.push_back(boxes[b]);
  }
  out.of_spectrum.reserve(run_of.size());
  for (const std::int64_t run : run_of) {
    out.of_spectrum.push_back(boxes[static_cast<std::size_t>(box_of[static_cast<std::size_t>(run)])].number);
  }
  return out;
}

}  // namespace imn::io
