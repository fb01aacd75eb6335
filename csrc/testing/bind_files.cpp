// Internals of imzML files that only the tests examine.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/choices.h"
#include "bindings/dataset_handle.h"
#include "bindings/python_types.h"
#include "io/describe.h"
#include "io/header.h"
#include "io/selection.h"
#include "testing/register.h"

namespace py = pybind11;

namespace imn::testing {
namespace {

using bindings::DatasetHandle;
using bindings::to_numpy;

// All results on which the two parsers must agree.
py::typing::Dict<py::str, py::object> parse_header(const std::string& path, const std::string& parser) {
  const auto which = bindings::parse_choice<io::Parser>(
      parser, "parser",
      {{"auto", io::Parser::automatic}, {"scanner", io::Parser::scanner}, {"expat", io::Parser::expat}});
  io::Header h;
  {
    const py::gil_scoped_release release;  // no Python object is touched
    const io::Bytes file(path, io::Access::sequential, io::Reading::watched);
    h = io::parse_header(file, io::Extent::all, which);
  }
  auto column = [](io::ArrayColumn& c) {
    py::dict d;
    d["offset"] = to_numpy(std::move(c.offset));
    d["length"] = to_numpy(std::move(c.length));
    d["encoded"] = to_numpy(std::move(c.encoded));
    d["format"] = to_numpy(std::move(c.format));
    return d;
  };
  py::list formats;
  for (const io::ArrayFormat& f : h.formats) {
    formats.append(py::make_tuple(static_cast<int>(f.dtype), static_cast<int>(f.named_dtype),
                                  static_cast<int>(f.compression), f.is_signed));
  }
  py::typing::Dict<py::str, py::object> out;
  out["declared"] = io::describe(h);
  out["x"] = to_numpy(std::move(h.x));
  out["y"] = to_numpy(std::move(h.y));
  out["z"] = to_numpy(std::move(h.z));
  out["mz"] = column(h.mz);
  out["intensity"] = column(h.intensity);
  out["formats"] = formats;
  py::list kinds;
  for (const io::ScanKind& k : h.kinds) {
    kinds.append(py::make_tuple(k.level, io::name_of(k.polarity), k.profile, k.centroid, k.contradicts_filter,
                                h.runs[k.run], h.sources[k.source], h.settings[k.settings], h.filters[k.filter],
                                py::make_tuple(k.window_lo, k.window_hi)));
  }
  out["kinds"] = kinds;
  out["kind"] = to_numpy(std::vector<std::int64_t>(h.kind.begin(), h.kind.end()));
  out["other_arrays"] = h.other_arrays;
  out["used_expat"] = h.used_expat;
  return out;
}

py::array_t<double> read_bins(const DatasetHandle& handle, std::int64_t spectrum, std::int64_t first,
                              std::int64_t last) {
  const auto dataset = handle.dataset;
  const auto bins = static_cast<std::int64_t>(dataset->spectra().shared_mz().size());
  std::vector<double> out(static_cast<std::size_t>(std::clamp<std::int64_t>(last - first, 0, bins)));
  {
    const py::gil_scoped_release release;  // reading is thread-safe and touches no Python object
    dataset->read_bins(spectrum, first, last, out.data());
    dataset->spectra().require_size();
  }
  return to_numpy(std::move(out));
}

}  // namespace

void register_files(py::module_& m) {
  m.def("parse_header", &parse_header, py::arg("path"), py::arg("parser") = "auto",
        "The header, parsed by 'scanner', 'expat' or 'auto'.");
  m.def(
      "shared_mz",
      [](const DatasetHandle& h) {
        const auto mz = h.dataset->spectra().shared_mz();
        return to_numpy(std::vector<double>(mz.begin(), mz.end()));
      },
      py::arg("dataset"), "The shared m/z axis of a continuous file.");
  m.def("read_bins", &read_bins, py::arg("dataset"), py::arg("spectrum"), py::arg("first"), py::arg("last"),
        "Intensities [first, last) on the shared m/z axis of a continuous file.");
  m.def(
      "float_intensities", [](const DatasetHandle& h) { return h.dataset->spectra().float_intensities(); },
      py::arg("dataset"), "Whether float32 holds every intensity of the file exactly.");
  m.def(
      "float_mz", [](const DatasetHandle& h) { return h.dataset->spectra().float_mz(); }, py::arg("dataset"),
      "Whether float32 holds every m/z value of the file exactly.");
}

}  // namespace imn::testing
