#include "pipeline/common/results.h"

#include <string>

#include "core/error.h"

namespace imn::pipeline {

void check_results(std::int64_t n, std::int32_t n_outputs, const Results& results) {
  if (static_cast<std::int64_t>(results.outputs.size()) != n * n_outputs ||
      static_cast<std::int64_t>(results.blank.size()) != n) {
    throw ArgumentError("results must hold " + std::to_string(n_outputs) + " values and one flag per image");
  }
}

}  // namespace imn::pipeline
