#include "score/outcome.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace imn::score {

namespace {

void softmax(const float* logits, double* out) {
  const double largest = *std::max_element(logits, logits + kClasses);
  double sum = 0.0;
  for (std::size_t c = 0; c < kClasses; ++c) sum += out[c] = std::exp(static_cast<double>(logits[c]) - largest);
  for (std::size_t c = 0; c < kClasses; ++c) out[c] /= sum;
}

double sigmoid(double x) {
  const double small = std::exp(-std::fabs(x));  // never overflows
  return (x >= 0.0 ? 1.0 : small) / (1.0 + small);
}

template <typename T>
void check_finite(const std::string& scorer, std::span<const T> scores) {
  const auto bad = std::find_if(scores.begin(), scores.end(), [](T v) { return !std::isfinite(v); });
  if (bad == scores.end()) return;
  throw ResultError("scorer '" + scorer + "': the score of image " + std::to_string(bad - scores.begin()) +
                    " is not finite");
}

}  // namespace

Outcome network_outcome(const std::string& scorer, std::span<const float> outputs, std::span<const std::uint8_t> blank,
                        std::span<const float> reach, const OutcomeRule& rule) {
  const std::size_t n = blank.size();
  const std::size_t columns = kClasses + (rule.structure ? 1 : 0);
  if (outputs.size() != n * columns) {
    throw ArgumentError("scorer '" + scorer + "': " + std::to_string(outputs.size()) + " outputs for " +
                        std::to_string(n) + " images of " + std::to_string(columns));
  }
  if (!reach.empty() && (reach.size() != n || !rule.ceiling)) throw ArgumentError("reach does not fit the outputs");
  if (!rule.weights && !rule.structure) throw ArgumentError("the score is the structure, which the model lacks");
  Outcome out;
  out.score.resize(n);
  out.probabilities.resize(n * kClasses);
  out.label.resize(n);
  if (rule.structure) out.structure.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const float* row = outputs.data() + i * columns;
    if (!std::all_of(row, row + columns, [](float v) { return std::isfinite(v); })) {
      throw ResultError("scorer '" + scorer + "': outputs of image " + std::to_string(i) + " are not finite");
    }
    double* p = out.probabilities.data() + i * kClasses;
    softmax(row, p);
    double grade = rule.structure ? kHighestGrade * sigmoid(static_cast<double>(row[kClasses])) : 0.0;
    const bool spared = !reach.empty() && !std::isnan(reach[i]);
    if (blank[i] != 0 || spared) {
      std::fill_n(p, kClasses, 0.0);
      p[kUnstructured] = 1.0;
    }
    double score = 0.0;
    if (blank[i] != 0) {
      grade = 0.0;
    } else if (rule.weights) {
      for (std::size_t c = 0; c < kClasses; ++c) score += p[c] * (*rule.weights)[c];
    } else {
      score = grade / kHighestGrade;
    }
    if (spared) {
      score = *rule.ceiling * std::clamp(static_cast<double>(reach[i]), 0.0, 1.0);
      grade = kHighestGrade * score;
    }
    out.score[i] = score;
    if (rule.structure) out.structure[i] = grade;
    out.label[i] = static_cast<std::int32_t>(std::max_element(p, p + kClasses) - p);
  }
  return out;
}

void check_scores(const std::string& scorer, std::span<const float> scores) { check_finite(scorer, scores); }
void check_scores(const std::string& scorer, std::span<const double> scores) { check_finite(scorer, scores); }

}  // namespace imn::score
