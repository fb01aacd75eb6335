// Finds the distance of neighbouring pixels in the positions that a file writes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace imn::io {

// Smaller common steps may be chance, or pixels left out between few: they need more evidence.
constexpr std::uint64_t kSmallestStageStep = 5;

struct AxisSteps {
  std::int64_t lowest = 0, highest = 0;  // of the written values
  std::uint64_t step = 1;                // written units per pixel
  std::int64_t origin = 0;               // position of pixel 1: at most `step - 1` below the lowest value
  std::int64_t distinct = 0;             // different values, counted up to a few; 0 where it does not matter
  std::int64_t off = 0;                  // spectra that lie between the steps
  std::int64_t offsets = 1;              // different offsets from the steps that others have
  std::uint64_t not_divided = 1;         // a common step that too few values share
};

// `raw` (n, 3): x, y, z as written; `axis` 0 to 2. If the header declares fewer pixels than the values span, any
// common step is one between pixels. Otherwise, steps below kSmallestStageStep need at least 4 different values that
// share them. A step that at least 8 values share may leave one spectrum in a hundred between the steps.
AxisSteps find_steps(const std::vector<std::int64_t>& raw, std::size_t axis, std::optional<std::int64_t> declared);

}  // namespace imn::io
