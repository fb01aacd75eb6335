// The normal distribution from a table: as exact as std::erf for the purpose, at a fraction of its cost.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace imn::images {

// below(x) is the share of a unit normal distribution below x, with an error of at most 1e-14.
class NormalTable {
 public:
  NormalTable() {
    for (std::size_t i = 0; i < kEntries; ++i) {
      const double x = static_cast<double>(i) / kPerUnit - kReach;
      entries_[i] = {0.5 * std::erfc(-x / std::sqrt(2.0)), std::exp(-0.5 * x * x) / std::sqrt(2.0 * kPi)};
    }
  }

  double below(double x) const {
    x = std::clamp(x, -kReach, kReach);
    const double place = (x + kReach) * kPerUnit;
    const auto i = static_cast<std::size_t>(place + 0.5);
    const double x0 = static_cast<double>(i) / kPerUnit - kReach;
    const double d = x - x0;
    // Taylor series around the nearest entry; the derivatives of the density are Hermite polynomials times the density.
    const double second = -0.5 * x0;
    const double third = (x0 * x0 - 1.0) / 6.0;
    const double fourth = -(x0 * x0 - 3.0) * x0 / 24.0;
    return entries_[i].below + entries_[i].density * d * (1.0 + d * (second + d * (third + d * fourth)));
  }

 private:
  static constexpr double kPi = 3.14159265358979323846;
  static constexpr double kReach = 8.0;
  static constexpr double kPerUnit = 128.0;
  static constexpr std::size_t kEntries = static_cast<std::size_t>(2.0 * kReach * kPerUnit) + 1;

  struct Entry {
    double below, density;
  };
  std::array<Entry, kEntries> entries_;
};

inline const NormalTable& normal_table() {
  static const NormalTable table;
  return table;
}

}  // namespace imn::images
