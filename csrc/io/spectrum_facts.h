// Per spectrum, what tells whether the measurement or the file is odd.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "io/plane.h"

namespace imn::io {

// All 0 for a spectrum that is empty or cannot be read.
struct SpectrumFacts {
  double signals = 0.0;               // number of values other than 0
  double total = 0.0, squares = 0.0;  // sums of the intensities and of their squares
  double least = 0.0, largest = 0.0;  // smallest and largest intensity
  double at_largest = 0.0;            // number of values equal to the largest, if that is positive
  double near_largest = 0.0;          // number of values of at least four fifths of the largest, these included
};

// One entry of `facts` for each of `spectra` (indices in the plane), and a row of `coarse` with the square root of the
// summed intensity in each m/z band. `edges`: ascending bounds of the bands, one more than there are bands. Throws
// Cancelled.
void spectrum_facts(const Plane& plane, std::span<const std::int64_t> spectra, std::span<const double> edges,
                    int threads, const std::atomic<bool>* cancel, std::span<SpectrumFacts> facts,
                    std::span<float> coarse);

}  // namespace imn::io
