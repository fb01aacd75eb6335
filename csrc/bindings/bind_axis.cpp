// Candidate channels, and windows around m/z values.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/choices.h"
#include "bindings/dataset_handle.h"
#include "bindings/interruptible.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "pick/axis.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

using AxisColumns =
    py::typing::Tuple<Doubles, Doubles, Doubles, Doubles, py::str, std::vector<std::string>, images::Evidence>;

AxisColumns candidate_axis(const DatasetHandle& handle, const std::string& kind, std::optional<double> min_frequency,
                           std::optional<double> ppm, int threads) {
  images::AxisOptions options;
  options.kind = parse_choice<images::AxisKind>(
      kind, "candidate_axis: kind",
      {{"auto", images::AxisKind::automatic}, {"bins", images::AxisKind::bins}, {"peaks", images::AxisKind::peaks}});
  options.min_frequency = min_frequency;
  options.ppm = ppm;
  options.threads = threads;
  const auto dataset = handle.dataset;
  images::CandidateAxis axis = interruptible([&](const std::atomic<bool>& cancel) {
    options.cancel = &cancel;
    return pick::found_channels(*dataset, options).axis;
  });
  return py::make_tuple(to_numpy(std::move(axis.mz)), to_numpy(std::move(axis.mz_lo)), to_numpy(std::move(axis.mz_hi)),
                        to_numpy(std::move(axis.frequency)), axis.method, axis.notes, axis.evidence);
}

py::typing::Tuple<Doubles, Doubles> mz_windows(const DoubleArray& mz, std::optional<double> ppm,
                                               std::optional<double> tol) {
  std::vector<double> lo, hi;
  for (const images::MzWindow& window : pick::windows_around(as_span(mz), {ppm, tol})) {
    lo.push_back(window.lo);
    hi.push_back(window.hi);
  }
  return py::make_tuple(to_numpy(std::move(lo)), to_numpy(std::move(hi)));
}

py::typing::Tuple<Doubles, Doubles, Doubles, Doubles, py::str, py::int_> given_axis(const DoubleArray& mz,
                                                                                    std::optional<double> ppm,
                                                                                    std::optional<double> tol) {
  pick::Channels found = pick::given_channels(as_span(mz), {ppm, tol});
  images::CandidateAxis& axis = found.axis;
  return py::make_tuple(to_numpy(std::move(axis.mz)), to_numpy(std::move(axis.mz_lo)), to_numpy(std::move(axis.mz_hi)),
                        to_numpy(std::move(axis.frequency)), axis.method, found.repeats);
}

Doubles count_frequency(const DatasetHandle& handle, const DoubleArray& mz_lo, const DoubleArray& mz_hi, int threads) {
  const auto dataset = handle.dataset;
  images::CandidateAxis axis = as_axis(mz_lo, mz_hi);
  interruptible([&](const std::atomic<bool>& cancel) { pick::count_frequency(*dataset, axis, threads, &cancel); });
  return to_numpy(std::move(axis.frequency));
}

}  // namespace

void register_axis(py::module_& m) {
  m.def("mz_windows", &mz_windows, py::arg("mz"), py::kw_only(), py::arg("ppm") = py::none(),
        py::arg("tol") = py::none(), "Lower and upper bounds of windows of this half width, in ppm or m/z.");
  m.def(
      "half_width_text",
      [](std::optional<double> ppm, std::optional<double> tol) { return pick::half_width_text({ppm, tol}); },
      py::kw_only(), py::arg("ppm"), py::arg("tol"), "How the method of an axis names a half width.");
  m.def("given_axis", &given_axis, py::arg("mz"), py::kw_only(), py::arg("ppm") = py::none(),
        py::arg("tol") = py::none(),
        "mz, mz_lo, mz_hi, frequency and method of the channels of an m/z list, and how many values were repeated.");
  m.def(
      "candidate_axis", &candidate_axis, py::arg("dataset"), py::arg("kind") = "auto",
      py::arg("min_frequency") = py::none(), py::arg("ppm") = py::none(), py::arg("threads") = 0,
      "mz, mz_lo, mz_hi, frequency, method, notes and evidence of the candidate channels; None: chosen from the data.");
  m.def("count_frequency", &count_frequency, py::arg("dataset"), py::arg("mz_lo"), py::arg("mz_hi"),
        py::arg("threads") = 0, "Share of the measured pixels with signal in each window (n,).");
}

}  // namespace imn::bindings
