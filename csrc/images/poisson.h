// Tail of the Poisson distribution: tests whether a count exceeds its background.
#pragma once

#include <algorithm>
#include <cmath>

namespace imn::images {

// log10 of P(X >= count) for X ~ Poisson(expected).
inline double log10_poisson_tail(double count, double expected) {
  if (count <= 0.0 || count <= expected) return 0.0;
  if (expected <= 0.0) return -300.0;
  // First term by Stirling's series (std::lgamma writes a global and is not thread-safe), then the tail's sum, whose
  // terms fall at least geometrically because count > expected.
  const double k = count;
  const double log_factorial =
      k < 2.0 ? 0.0 : k * std::log(k) - k + 0.5 * std::log(2.0 * 3.14159265358979323846 * k) + 1.0 / (12.0 * k);
  const double log_first = k * std::log(expected) - expected - log_factorial;
  double term = 1.0;
  double sum = 1.0;
  for (double i = k + 1.0; term > 1e-6 * sum && i < k + 1e4; i += 1.0) {
    term *= expected / i;
    sum += term;
  }
  return std::min(0.0, (log_first + std::log(sum)) / std::log(10.0));
}

}  // namespace imn::images
