#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "bindings/arrays.h"
#include "bindings/dataset_handle.h"
#include "bindings/interruptible.h"
#include "bindings/register.h"
#include "io/describe.h"
#include "io/header.h"
#include "io/ibd_lookup.h"
#include "io/validate.h"

namespace py = pybind11;

namespace imn::bindings {

namespace {

template <typename T>
T choice(const std::string& text, const char* what, const std::map<std::string, T>& values) {
  const auto found = values.find(text);
  if (found != values.end()) return found->second;
  std::string accepted;
  for (const auto& [name, value] : values) accepted += (accepted.empty() ? "" : ", ") + name;
  throw ArgumentError(std::string(what) + " must be one of " + accepted + ", not " + text);
}

DatasetHandle open_dataset(const std::string& path, const std::string& ibd_path, bool strict,
                           const std::string& duplicates, const std::optional<std::string>& spectrum_type,
                           bool repair) {
  io::OpenOptions options;
  options.ibd_path = ibd_path;
  options.strict = strict;
  options.repair = repair;
  options.duplicates = choice<io::Duplicates>(
      duplicates, "duplicates",
      {{"first", io::Duplicates::first}, {"sum", io::Duplicates::sum}, {"error", io::Duplicates::error}});
  if (spectrum_type) {
    options.spectrum_type =
        choice<io::SpectrumType>(*spectrum_type, "spectrum_type",
                                 {{"profile", io::SpectrumType::profile}, {"centroid", io::SpectrumType::centroid}});
  }
  // Only C++ values from here on.
  const py::gil_scoped_release release;
  return {io::Dataset::open(path, options)};
}

// (n, 3), a copy: it must outlive the dataset.
template <typename T>
py::array_t<T> rows_of_three(std::span<const T> values) {
  py::array_t<T> out({static_cast<py::ssize_t>(values.size() / 3), py::ssize_t{3}});
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

py::tuple arrays_of(io::Spectrum spectrum) {
  return py::make_tuple(to_numpy(std::move(spectrum.mz)), to_numpy(std::move(spectrum.intensity)));
}

// Everything the differential test compares, and the timing of the parse alone.
py::dict parse_header(const std::string& path, const std::string& parser) {
  const auto which = choice<io::Parser>(
      parser, "parser",
      {{"auto", io::Parser::automatic}, {"scanner", io::Parser::scanner}, {"expat", io::Parser::expat}});
  io::Header h;
  {
    const py::gil_scoped_release release;  // no Python object is touched
    const io::MappedFile file(path, io::Access::sequential);
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
  py::dict out;
  out["declared"] = io::describe(h);
  out["x"] = to_numpy(std::move(h.x));
  out["y"] = to_numpy(std::move(h.y));
  out["z"] = to_numpy(std::move(h.z));
  out["mz"] = column(h.mz);
  out["intensity"] = column(h.intensity);
  out["formats"] = formats;
  out["profile_spectra"] = h.profile_spectra;
  out["centroid_spectra"] = h.centroid_spectra;
  out["other_arrays"] = h.other_arrays;
  out["used_expat"] = h.used_expat;
  return out;
}

// [(message, count, first, is_error)]; `progress` gets the number of spectra read, an exception in it stops the work.
py::list validate(const DatasetHandle& handle, int threads, const std::optional<py::function>& progress) {
  const auto dataset = handle.dataset;
  std::optional<py::error_already_set> raised;
  std::vector<io::Problem> problems;
  try {
    // The workers touch Python only inside of the progress call, which takes the GIL itself.
    problems = interruptible([&](std::atomic<bool>& cancel) {
      io::ValidateOptions options;
      options.threads = threads;
      options.cancel = &cancel;
      if (progress) {
        options.progress = [&](std::int64_t done) {
          const py::gil_scoped_acquire acquire;
          if (raised) return;
          try {
            (*progress)(done);
          } catch (py::error_already_set& error) {
            raised.emplace(error);
            cancel = true;
          }
        };
      }
      return io::validate(*dataset, options);
    });
  } catch (const Cancelled&) {
    if (!raised) throw;
  }
  if (raised) throw std::move(*raised);
  py::list out;
  for (const io::Problem& p : problems) out.append(py::make_tuple(p.message, p.count, p.first, p.is_error));
  return out;
}

}  // namespace

void register_io(py::module_& m) {
  using Handle = DatasetHandle;
  py::class_<Handle>(m, "Dataset")
      .def("plane", [](const Handle& h, std::int32_t z) { return Handle{h.dataset->plane(z)}; })
      .def_property_readonly("path", [](const Handle& h) { return h.dataset->path(); })
      .def_property_readonly("ibd_path", [](const Handle& h) { return h.dataset->ibd_path(); })
      .def("changed", [](const Handle& h) { return h.dataset->changed(); })
      .def_property_readonly("n_spectra", [](const Handle& h) { return h.dataset->n_spectra(); })
      .def_property_readonly("float_intensities", [](const Handle& h) { return h.dataset->float_intensities(); })
      .def_property_readonly("float_mz", [](const Handle& h) { return h.dataset->float_mz(); })
      .def_property_readonly("width", [](const Handle& h) { return h.dataset->width(); })
      .def_property_readonly("height", [](const Handle& h) { return h.dataset->height(); })
      .def_property_readonly(
          "mode",
          [](const Handle& h) { return h.dataset->mode() == io::Mode::continuous ? "continuous" : "processed"; })
      .def_property_readonly("spectrum_type",
                             [](const Handle& h) {
                               return h.dataset->spectrum_type() == io::SpectrumType::profile ? "profile" : "centroid";
                             })
      .def_property_readonly("coordinates", [](const Handle& h) { return rows_of_three(h.dataset->coordinates()); })
      .def_property_readonly("raw_coordinates",
                             [](const Handle& h) { return rows_of_three(h.dataset->raw_coordinates()); })
      .def_property_readonly("coordinate_origin", [](const Handle& h) { return h.dataset->coordinate_origin(); })
      .def_property_readonly("coordinate_step", [](const Handle& h) { return h.dataset->coordinate_step(); })
      .def_property_readonly("z_planes", [](const Handle& h) { return h.dataset->z_planes(); })
      .def_property_readonly("pixel_size_um", [](const Handle& h) { return h.dataset->pixel_size_um(); })
      .def_property_readonly("declared", [](const Handle& h) { return h.dataset->declared(); })
      .def_property_readonly("warnings", [](const Handle& h) { return h.dataset->warnings(); })
      .def_property_readonly("pixels",
                             [](const Handle& h) {
                               const auto pixels = h.dataset->pixels();
                               py::array_t<std::int64_t> out({static_cast<py::ssize_t>(pixels.size()), py::ssize_t{2}});
                               std::int64_t* to = out.mutable_data();
                               for (const io::Pixel& p : pixels) {
                                 *to++ = p.index;
                                 *to++ = p.spectrum;
                               }
                               return out;
                             })
      .def("spectrum_length", [](const Handle& h, std::int64_t i) { return h.dataset->spectrum_length(i); })
      .def("shared_mz",
           [](const Handle& h) {
             const auto mz = h.dataset->shared_mz();
             return to_numpy(std::vector<double>(mz.begin(), mz.end()));
           })
      .def("mz_range",
           [](const Handle& h) {
             const auto dataset = h.dataset;
             // May touch every page of a large file; the copied pointer keeps the mapping alive.
             const py::gil_scoped_release release;
             const auto range = dataset->mz_range();
             dataset->require_size();
             return range;
           })
      .def("spectrum",
           [](const Handle& h, std::int64_t i) {
             const auto dataset = h.dataset;
             io::Spectrum spectrum;
             {
               const py::gil_scoped_release release;  // reading is thread-safe and touches no Python object
               dataset->read_spectrum(i, spectrum);
               dataset->require_size();
             }
             return arrays_of(std::move(spectrum));
           })
      .def("spectrum_range",
           [](const Handle& h, std::int64_t i, double lo, double hi) {
             const auto dataset = h.dataset;
             io::Spectrum spectrum;
             {
               const py::gil_scoped_release release;  // as in spectrum()
               dataset->read_spectrum(i, lo, hi, spectrum);
               dataset->require_size();
             }
             return arrays_of(std::move(spectrum));
           })
      .def("read_bins", [](const Handle& h, std::int64_t i, std::int64_t first, std::int64_t last) {
        const auto dataset = h.dataset;
        const auto bins = static_cast<std::int64_t>(dataset->shared_mz().size());
        std::vector<double> out(static_cast<std::size_t>(std::clamp<std::int64_t>(last - first, 0, bins)));
        {
          const py::gil_scoped_release release;  // as in spectrum()
          dataset->read_bins(i, first, last, out.data());
          dataset->require_size();
        }
        return to_numpy(std::move(out));
      });

  m.def("open_dataset", &open_dataset, py::arg("path"), py::kw_only(), py::arg("ibd_path"), py::arg("strict"),
        py::arg("duplicates"), py::arg("spectrum_type"), py::arg("repair"));
  m.def("validate", &validate, py::arg("dataset"), py::kw_only(), py::arg("threads"), py::arg("progress"));
  m.def("parse_header", &parse_header, py::arg("path"), py::arg("parser") = "auto");
  m.def("read_head", &io::read_head, py::arg("path"), py::call_guard<py::gil_scoped_release>());
  m.def("find_ibd", &io::find_ibd, py::arg("path"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace imn::bindings
