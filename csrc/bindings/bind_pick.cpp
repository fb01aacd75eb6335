// What a pick makes of scores and pixels; the C interface calls the same code.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "core/sha256.h"
#include "models/model.h"
#include "pick/pixels.h"
#include "pick/ranking.h"
#include "score/outcome.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

template <typename Array>
auto as_span(const Array& array) {
  return std::span(array.data(), static_cast<std::size_t>(array.size()));
}

using OutcomeColumns = py::typing::Tuple<Doubles, Doubles, std::optional<Doubles>, py::array_t<std::int32_t>>;

OutcomeColumns network_outcome(const std::string& scorer, const FloatArray& outputs, const MaskArray& blank,
                               const std::optional<FloatArray>& reach, bool structure,
                               const std::optional<std::array<double, score::kClasses>>& weights,
                               std::optional<double> ceiling) {
  const score::OutcomeRule rule{structure, weights, ceiling};
  score::Outcome found;
  {
    // Touches only plain memory that this frame holds.
    const py::gil_scoped_release release;
    found = score::network_outcome(scorer, as_span(outputs), as_span(blank),
                                   reach ? as_span(*reach) : std::span<const float>{}, rule);
  }
  const auto n = static_cast<py::ssize_t>(found.score.size());
  Doubles probabilities = to_numpy(std::move(found.probabilities));
  std::optional<Doubles> grades;
  if (structure) grades = to_numpy(std::move(found.structure));
  return py::make_tuple(to_numpy(std::move(found.score)),
                        probabilities.reshape({n, static_cast<py::ssize_t>(score::kClasses)}), grades,
                        to_numpy(std::move(found.label)));
}

pick::MaskView as_mask(const MaskArray& mask) {
  if (mask.ndim() != 2) throw ArgumentError("mask must have shape (height, width)");
  return {as_span(mask), mask.shape(0), mask.shape(1)};
}

}  // namespace

void register_pick(py::module_& m) {
  m.def(
      "rank_scores", [](const DoubleArray& scores) { return to_numpy(pick::rank_scores(as_span(scores))); },
      py::arg("scores"), "Indices of the scores from best to worst.");
  m.def(
      "cut_ranked",
      [](const DoubleArray& scores, std::optional<std::int64_t> top, std::optional<double> min_score) {
        return pick::cut_ranked(as_span(scores), top, min_score);
      },
      py::arg("ranked_scores"), py::arg("top") = py::none(), py::arg("min_score") = py::none(),
      "How many of the ranked scores are kept.");
  m.def("network_outcome", &network_outcome, py::arg("scorer"), py::arg("outputs"), py::arg("blank"),
        py::arg("reach") = py::none(), py::kw_only(), py::arg("structure"), py::arg("weights") = py::none(),
        py::arg("ceiling") = py::none(),
        "Outputs (n, k) of a network -> score (n,), probabilities (n, 6), structure (n,) or None, most probable class "
        "(n,). `weights` of the classes in the score, None: the structure is the score; `ceiling` of the cascade's "
        "scores.");
  m.def(
      "fill", [](const MaskArray& mask) { return pick::fill(as_mask(mask)); }, py::arg("mask"),
      "Mean share of measured pixels among the 5 x 5 around each measured pixel of a mask (H, W) of 0 and 1.");
  m.def(
      "too_few_pixels", [](const MaskArray& mask) { return pick::too_few(as_mask(mask)); }, py::arg("mask"),
      "Why a network cannot score images with these measured pixels (H, W); empty if it can.");
  m.def(
      "pixel_cautions", [](const MaskArray& mask, bool network) { return pick::cautions(as_mask(mask), network); },
      py::arg("mask"), py::kw_only(), py::arg("network"), "What limits the meaning of scores, one line each.");
  m.def(
      "check_model_config",
      [](const std::string& json, const std::string& path) { return models::parse_config(json, path).name; },
      py::arg("json"), py::arg("path"), "Name of the model; FileError if the C interface refuses its config.json.");
  m.def("fewest_pixels", [] { return pick::kFewestPixels; }, "Measured pixels that a network needs.");
}

}  // namespace imn::bindings
