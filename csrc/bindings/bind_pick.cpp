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
#include "bindings/dataset_handle.h"
#include "bindings/interruptible.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "pick/cut.h"
#include "pick/pick.h"
#include "pick/pixels.h"
#include "pick/ranking.h"
#include "pick/record.h"
#include "pick/sample.h"
#include "score/outcome.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

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

Doubles prepare(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                const DoubleArray& frequency, bool network, int threads) {
  const auto dataset = handle.dataset;
  images::CandidateAxis axis = as_axis(mz_lo, mz_hi);
  if (frequency.size() != mz_lo.size()) throw ArgumentError("an axis has one frequency per channel");
  axis.frequency.assign(frequency.data(), frequency.data() + frequency.size());
  interruptible([&](const std::atomic<bool>& cancel) { pick::prepare(*dataset, network, axis, threads, &cancel); });
  return to_numpy(std::move(axis.frequency));
}

std::vector<std::string> warnings(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                                  std::vector<std::string> notes, bool network) {
  const auto dataset = handle.dataset;
  images::CandidateAxis axis = as_axis(mz_lo, mz_hi);
  axis.notes = std::move(notes);
  // May touch every page of a large file; uses C++ values only.
  const py::gil_scoped_release release;
  return pick::warnings(*dataset, axis, network);
}

py::typing::Tuple<py::array_t<std::int64_t>, py::int_> pick_ranked(const DoubleArray& scores,
                                                                   std::optional<std::int64_t> top,
                                                                   std::optional<double> min_score,
                                                                   std::optional<double> threshold,
                                                                   const std::optional<MaskArray>& excluded) {
  if (excluded && excluded->size() != scores.size()) throw ArgumentError("excluded must have one entry per score");
  pick::Picked found = pick::pick_ranked(as_span(scores), {top, min_score}, threshold,
                                         excluded ? as_span(*excluded) : std::span<const std::uint8_t>{});
  return py::make_tuple(to_numpy(std::move(found.rows)), found.excluded);
}

using SampleFacts = TypedDict<"SampleFacts">;

SampleFacts to_dict(pick::SectionSample sample, const std::array<std::int64_t, 2>& shape) {
  SampleFacts d;
  d["map"] = py::none();
  if (!sample.map.empty()) d["map"] = to_numpy(std::move(sample.map)).reshape({shape[0], shape[1]});
  d["kind"] = sample.kind;
  d["share"] = sample.share;
  d["off_sample"] = sample.off_sample;
  d["separation"] = sample.separation;
  d["noise"] = sample.noise;
  d["n_images"] = sample.n_images;
  d["n_coherent"] = sample.n_coherent;
  return d;
}

SampleFacts section_sample(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi,
                           const DoubleArray& frequency, int threads) {
  const auto dataset = handle.dataset;
  images::CandidateAxis axis = as_axis(mz_lo, mz_hi);
  if (frequency.size() != mz_lo.size()) throw ArgumentError("an axis has one frequency per channel");
  axis.frequency.assign(frequency.data(), frequency.data() + frequency.size());
  pick::SectionSample found = interruptible(
      [&](const std::atomic<bool>& cancel) { return pick::section_sample(*dataset, axis, threads, &cancel); });
  return to_dict(std::move(found), {dataset->geometry().height, dataset->geometry().width});
}

SampleFacts sample_of_images(const FloatArray& images, const std::optional<MaskArray>& mask, int threads) {
  const ImageStack stack = as_stack(images, mask);
  pick::SectionSample found =
      interruptible([&](const std::atomic<bool>& cancel) { return pick::sample_of_images(stack, threads, &cancel); });
  return to_dict(std::move(found), {stack.height, stack.width});
}

using FileStateFacts = TypedDict<"FileState">;

FileStateFacts file_state(const std::string& imzml, const std::string& ibd) {
  pick::FileState state;
  {
    const py::gil_scoped_release release;  // uses C++ values only
    state = pick::file_state(imzml, ibd);
  }
  FileStateFacts d;
  d["imzml_bytes"] = state.imzml_bytes;
  d["imzml_mtime_ns"] = state.imzml_mtime_ns;
  d["ibd_bytes"] = state.ibd_bytes;
  d["ibd_mtime_ns"] = state.ibd_mtime_ns;
  d["pieces_sha256"] = state.pieces_sha256;
  return d;
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
      "check_scores", [](const std::string& scorer, const DoubleArray& s) { score::check_scores(scorer, as_span(s)); },
      py::arg("scorer"), py::arg("scores"), "IonMorphNetError if a score is not finite.");
  m.def("file_state", &file_state, py::arg("imzml"), py::arg("ibd"),
        "Sizes, times of last change and a hash of pieces of both files.");
  m.def(
      "check_cut",
      [](std::optional<std::int64_t> top, std::optional<double> min_score) { pick::check_cut({top, min_score}); },
      py::arg("top"), py::arg("min_score"), "ArgumentError if a limit of a pick is out of range.");
  m.def(
      "require_cut",
      [](const std::string& scorer, std::optional<std::int64_t> top, std::optional<double> min_score,
         std::optional<double> threshold) { pick::require_cut(scorer, {top, min_score}, threshold); },
      py::arg("scorer"), py::arg("top"), py::arg("min_score"), py::arg("threshold"),
      "ArgumentError if nothing says how many channels are picked.");
  m.def(
      "cutting_threshold",
      [](std::optional<std::int64_t> top, std::optional<double> min_score, std::optional<double> threshold) {
        return pick::cutting_threshold({top, min_score}, threshold);
      },
      py::arg("top"), py::arg("min_score"), py::arg("threshold"), "The threshold of the model, if it makes the cut.");
  m.def("pick_ranked", &pick_ranked, py::arg("ranked_scores"), py::arg("top"), py::arg("min_score"),
        py::arg("threshold"), py::arg("excluded") = py::none(),
        "Rows of the ranked scores that are picked, and how many are not because they are excluded.");
  m.def("prepare_pick", &prepare, py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"), py::arg("frequency"),
        py::kw_only(), py::arg("network"), py::arg("threads") = 0,
        "Refuses sections that cannot be scored; returns the frequencies, counted if none is known.");
  m.def("pick_warnings", &warnings, py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"), py::arg("notes"),
        py::kw_only(), py::arg("network"), "What limits the meaning of the scores of these channels, one line each.");
  m.def("section_sample", &section_sample, py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"), py::arg("frequency"),
        py::kw_only(), py::arg("threads") = 0, "The sample map of a section, from its channels.");
  m.def("sample_of_images", &sample_of_images, py::arg("images"), py::arg("mask") = py::none(), py::kw_only(),
        py::arg("threads") = 0, "The sample map of a section, from ion images (n, H, W) of it.");
  m.def("fewest_pixels", [] { return pick::kFewestPixels; }, "Measured pixels that a network needs.");
}

}  // namespace imn::bindings
