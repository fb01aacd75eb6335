// From the outputs of a network to scores, classes and probabilities.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace imn::score {

inline constexpr std::size_t kClasses = 6;
// In the order of the logits.
inline constexpr std::array<const char*, kClasses> kClassNames{"structured", "weak_structured", "localized",
                                                               "fragmented", "unstructured",    "negative"};
inline constexpr std::size_t kUnstructured = 4;
// Highest grade of structure; the structure output is the expected grade divided by it.
inline constexpr double kHighestGrade = 3.0;

// What the outputs of a model are, and which of them is the score.
struct OutcomeRule {
  bool structure = false;                               // the logit of the structure is the column after the classes
  std::optional<std::array<double, kClasses>> weights;  // of the probabilities in the score; none: the structure is it
  std::optional<double> ceiling;                        // largest score of an image that the cascade spared the network
};

// Of n images.
struct Outcome {
  std::vector<double> score;
  std::vector<double> probabilities;  // (n, kClasses), each row sums to 1
  std::vector<double> structure;      // expected grade; empty if the model has none
  std::vector<std::int32_t> label;    // most probable class
};

// outputs: (n, kClasses), or one column more with the structure. blank: (n), 1 = not scored: unstructured with
// probability 1, score and structure 0. reach: (n) of find_noise(), or empty: images that are not NaN there were spared
// the network: unstructured too, with the score ceiling * reach and the structure that belongs to it. Throws Error,
// naming the scorer and the first image, if outputs are not finite; ArgumentError if sizes do not match.
Outcome network_outcome(const std::string& scorer, std::span<const float> outputs, std::span<const std::uint8_t> blank,
                        std::span<const float> reach, const OutcomeRule& rule);

// Throws ResultError, naming the scorer and the first image, unless all scores are finite.
void check_scores(const std::string& scorer, std::span<const float> scores);
void check_scores(const std::string& scorer, std::span<const double> scores);

}  // namespace imn::score
