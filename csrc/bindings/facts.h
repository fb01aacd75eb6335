// The facts that preprocessing finds about each image, as Python receives them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

#include "bindings/python_types.h"
#include "pipeline/common/progress.h"
#include "preprocess/preprocess_cuda.h"

namespace imn::bindings {

// Returns a dict of (n,) arrays: sum, divisor, measured, positive, blank.
using FactArrays = TypedDict<"ImageFacts">;
inline FactArrays to_dict(const std::vector<preprocess::ImageFacts>& facts) {
  const auto n = static_cast<pybind11::ssize_t>(facts.size());
  pybind11::array_t<double> sum(n);
  pybind11::array_t<float> divisor(n);
  pybind11::array_t<std::int32_t> measured(n), positive(n);
  pybind11::array_t<bool> blank(n);
  for (pybind11::ssize_t i = 0; i < n; ++i) {
    const preprocess::ImageFacts& f = facts[static_cast<std::size_t>(i)];
    sum.mutable_at(i) = f.sum;
    divisor.mutable_at(i) = f.divisor;
    measured.mutable_at(i) = f.measured;
    positive.mutable_at(i) = f.positive;
    blank.mutable_at(i) = f.blank != 0;
  }
  FactArrays d;
  d["sum"] = sum;
  d["divisor"] = divisor;
  d["measured"] = measured;
  d["positive"] = positive;
  d["blank"] = blank;
  return d;
}

inline LoopTimings to_dict(const pipeline::LoopFacts& facts) {
  LoopTimings d;
  for (const auto& [name, value] : facts) {
    std::visit([&, key = name](const auto& v) { d[key.c_str()] = v; }, value);
  }
  return d;
}

}  // namespace imn::bindings
