// The channels that a pick scores: found in the data, or given.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "images/candidate_axis.h"
#include "images/mz_window.h"
#include "io/plane.h"

namespace imn::pick {

struct GivenWindows {
  std::optional<double> ppm, tol;  // half width; exactly one
};

struct Channels {
  images::CandidateAxis axis;
  std::optional<double> ppm, tol;  // of a given list
  std::int64_t repeats = 0;        // values of a given list that were named before
};

// Windows around given m/z values, in their order. Throws ArgumentError naming the entry if a value is not finite and
// positive, or if not exactly one half width is given.
std::vector<images::MzWindow> windows_around(std::span<const double> mz, const GivenWindows& windows);

// How a list of m/z values says which half width its windows have: "+-5 ppm".
std::string half_width_text(const GivenWindows& windows);

// Channels of given m/z values: sorted, repeats removed; frequencies are NaN. Throws as windows_around().
Channels given_channels(std::span<const double> mz, const GivenWindows& windows);

// Checks what candidate_axis() is asked for, and calls it. Throws ArgumentError, FileError, Cancelled.
Channels found_channels(const io::Plane& plane, const images::AxisOptions& options);

// Frequencies: the share of the measured pixels with signal in each window. The images are made a few at a time.
void count_frequency(const io::Plane& plane, images::CandidateAxis& axis, int threads,
                     const std::atomic<bool>* cancel = nullptr);

// Whether no frequency is known.
bool lacks_frequency(const images::CandidateAxis& axis);

}  // namespace imn::pick
