#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <tuple>

#include "bindings/arrays.h"
#include "bindings/choices.h"
#include "bindings/dataset_handle.h"
#include "bindings/interruptible.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "io/describe.h"
#include "io/ibd_lookup.h"
#include "io/spectrum_facts.h"
#include "io/validate.h"

namespace py = pybind11;

namespace imn::bindings {

namespace {

DatasetHandle open_dataset(const std::string& path, const std::optional<std::string>& ibd_path, bool strict,
                           const std::string& duplicates, const std::optional<std::string>& spectrum_type, bool repair,
                           const std::string& copies, std::optional<std::int32_t> ms_level,
                           const std::optional<std::string>& polarity, const std::optional<std::string>& run,
                           bool everything) {
  io::OpenOptions options;
  options.ibd_path = ibd_path;
  options.strict = strict;
  options.repair = repair;
  options.ms_level = ms_level;
  options.run = run;
  options.everything = everything;
  options.duplicates = parse_choice<io::Duplicates>(duplicates, "duplicates",
                                                    {{"first", io::Duplicates::first},
                                                     {"sum", io::Duplicates::sum},
                                                     {"mean", io::Duplicates::mean},
                                                     {"error", io::Duplicates::error}});
  options.copies = parse_choice<io::Copies>(copies, "copies", {{"keep", io::Copies::keep}, {"drop", io::Copies::drop}});
  if (spectrum_type) {
    options.spectrum_type = parse_choice<io::SpectrumType>(
        *spectrum_type, "spectrum_type",
        {{"profile", io::SpectrumType::profile}, {"centroid", io::SpectrumType::centroid}});
  }
  if (polarity) {
    options.polarity = parse_choice<io::Polarity>(
        *polarity, "polarity", {{"positive", io::Polarity::positive}, {"negative", io::Polarity::negative}});
  }
  // From here on, only C++ values are used.
  const py::gil_scoped_release release;
  return {io::Plane::open(path, options)};
}

// Returns a copy, (n, 3), because it must outlive the dataset.
template <typename T>
py::array_t<T> rows_of_three(std::span<const T> values) {
  py::array_t<T> out({static_cast<py::ssize_t>(values.size() / 3), py::ssize_t{3}});
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

std::tuple<std::int64_t, std::int64_t, std::int64_t> triple(const std::array<std::int64_t, 3>& values) {
  return {values[0], values[1], values[2]};
}

py::typing::Tuple<Doubles, Doubles> arrays_of(io::Spectrum spectrum) {
  return py::make_tuple(to_numpy(std::move(spectrum.mz)), to_numpy(std::move(spectrum.intensity)));
}

// Number, pixels, x0, y0, width, height.
using RegionRow = py::typing::Tuple<py::int_, py::int_, py::int_, py::int_, py::int_, py::int_>;

// Message, count, first spectrum, and whether it is an error.
using ProblemRow = py::typing::Tuple<py::str, py::int_, py::int_, py::bool_>;

// An exception in `progress` stops the work.
py::typing::List<ProblemRow> validate(const DatasetHandle& handle, int threads,
                                      const std::optional<py::typing::Callable<void(std::int64_t)>>& progress) {
  const auto dataset = handle.dataset;
  std::optional<py::error_already_set> raised;
  std::vector<io::Problem> problems;
  try {
    // The workers touch Python only in the progress call, which takes the GIL itself.
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
  py::typing::List<ProblemRow> out;
  for (const io::Problem& p : problems) out.append(py::make_tuple(p.message, p.count, p.first, p.is_error));
  return out;
}

// Facts (n, 7) and coarse spectra (n, bands) of the chosen spectra.
py::typing::Tuple<Doubles, Floats> spectrum_facts(const DatasetHandle& handle, const std::vector<std::int64_t>& spectra,
                                                  const DoubleArray& edges, int threads) {
  constexpr std::size_t kFacts = sizeof(io::SpectrumFacts) / sizeof(double);
  const auto dataset = handle.dataset;
  const std::span<const double> bounds(edges.data(), static_cast<std::size_t>(edges.size()));
  const auto n = static_cast<py::ssize_t>(spectra.size());
  const py::ssize_t bands = std::max<py::ssize_t>(0, edges.size() - 1);
  std::vector<io::SpectrumFacts> facts(spectra.size());
  Floats coarse({n, bands});
  const std::span<float> rows(coarse.mutable_data(), static_cast<std::size_t>(coarse.size()));
  interruptible([&](const std::atomic<bool>& cancel) {
    io::spectrum_facts(*dataset, spectra, bounds, threads, &cancel, facts, rows);
  });
  Doubles table({n, static_cast<py::ssize_t>(kFacts)});
  double* out = table.mutable_data();
  for (const io::SpectrumFacts& f : facts) {
    for (const double v : {f.signals, f.total, f.squares, f.least, f.largest, f.at_largest, f.near_largest}) *out++ = v;
  }
  return py::make_tuple(std::move(table), std::move(coarse));
}

}  // namespace

void register_io(py::module_& m) {
  using Handle = DatasetHandle;
  py::class_<Handle>(m, "Dataset", "An open imzML section, or one z plane of it; ionmorphnet.Dataset wraps it.")
      .def(
          "plane", [](const Handle& h, std::int32_t z) { return Handle{h.dataset->at_z(z)}; }, py::arg("z"))
      .def(
          "scaled",
          [](const Handle& h, const DoubleArray& factors) {
            return Handle{h.dataset->scaled({factors.data(), static_cast<std::size_t>(factors.size())})};
          },
          py::arg("factors"), "The same spectra, with ion images multiplied by one factor per pixel (height, width).")
      .def(
          "region", [](const Handle& h, std::int32_t number) { return Handle{h.dataset->at_region(number)}; },
          py::arg("number"))
      .def("regions",
           [](const Handle& h) {
             const auto dataset = h.dataset;
             const io::Regions* found = nullptr;
             {
               const py::gil_scoped_release release;  // finds them on first use, without Python objects
               found = &dataset->regions();
             }
             py::typing::List<RegionRow> out;
             for (const io::Region& r : found->regions) {
               out.append(py::make_tuple(r.number, r.n_pixels, r.x0, r.y0, r.width, r.height));
             }
             return out;
           })
      .def("region_of_spectrum",
           [](const Handle& h) {
             const auto& found = h.dataset->regions().of_spectrum;
             py::array_t<std::int32_t> out(static_cast<py::ssize_t>(found.size()));
             std::copy(found.begin(), found.end(), out.mutable_data());
             return out;
           })
      .def_property_readonly("path", [](const Handle& h) { return h.dataset->file().path(); })
      .def_property_readonly("ibd_path", [](const Handle& h) { return h.dataset->spectra().ibd_path(); })
      .def("overlapping", [](const Handle& h) { return h.dataset->overlapping_spectra(); })
      .def(
          "require_one_z", [](const Handle& h, const std::string& remedy) { h.dataset->require_one_z(remedy); },
          py::arg("remedy"), "ArgumentError that ends with the remedy if there are several z planes.")
      .def("changed", [](const Handle& h) { return h.dataset->spectra().changed(); })
      .def_property_readonly("n_spectra", [](const Handle& h) { return h.dataset->n_spectra(); })
      .def_property_readonly("width", [](const Handle& h) { return h.dataset->geometry().width; })
      .def_property_readonly("height", [](const Handle& h) { return h.dataset->geometry().height; })
      .def_property_readonly(
          "mode",
          [](const Handle& h) {
            return name_of<ModeName>(h.dataset->spectra().mode() == io::Mode::continuous ? "continuous" : "processed");
          })
      .def_property_readonly(
          "spectrum_type",
          [](const Handle& h) {
            return name_of<SpectrumTypeName>(
                h.dataset->file().spectrum_type() == io::SpectrumType::profile ? "profile" : "centroid");
          })
      .def_property_readonly(
          "coordinates", [](const Handle& h) { return rows_of_three(std::span(h.dataset->geometry().coordinates)); })
      .def_property_readonly(
          "raw_coordinates",
          [](const Handle& h) { return rows_of_three(std::span(h.dataset->geometry().raw_coordinates)); })
      .def_property_readonly("coordinate_origin", [](const Handle& h) { return triple(h.dataset->geometry().origin); })
      .def_property_readonly("coordinate_step", [](const Handle& h) { return triple(h.dataset->geometry().step); })
      .def_property_readonly("z_planes", [](const Handle& h) { return h.dataset->geometry().z_planes; })
      .def_property_readonly("pixel_size_um", [](const Handle& h) { return h.dataset->file().pixel_size_um(); })
      .def_property_readonly("ms_levels", [](const Handle& h) { return h.dataset->file().selection().ms_levels; })
      .def_property_readonly("ms_level", [](const Handle& h) { return h.dataset->file().selection().ms_level; })
      .def_property_readonly("polarities", [](const Handle& h) { return h.dataset->file().selection().polarities; })
      .def_property_readonly("polarity",
                             [](const Handle& h) {
                               const auto chosen = h.dataset->file().selection().polarity;
                               return chosen ? std::optional(io::name_of(*chosen)) : std::nullopt;
                             })
      .def_property_readonly("runs", [](const Handle& h) { return h.dataset->file().selection().runs; })
      .def_property_readonly("scan_filters", [](const Handle& h) { return h.dataset->file().selection().filters; })
      .def_property_readonly("declared", [](const Handle& h) { return h.dataset->file().declared(); })
      .def_property_readonly("warnings", [](const Handle& h) { return h.dataset->file().warnings(); })
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
      .def(
          "spectrum_length", [](const Handle& h, std::int64_t i) { return h.dataset->spectrum_length(i); },
          py::arg("index"))
      .def(
          "copies",
          [](const Handle& h, int threads) {
            const auto dataset = h.dataset;
            return to_numpy(
                interruptible([&](std::atomic<bool>& cancel) { return dataset->copies(threads, &cancel); }));
          },
          py::kw_only(), py::arg("threads"),
          "By spectrum: the number in the file of the earlier spectrum that it repeats, or -1.")
      .def_property_readonly(
          "shown",
          [](const Handle& h) {
            const auto pixels = h.dataset->pixels();
            const io::Shown& shown = h.dataset->shown();
            py::array_t<std::int64_t> out({static_cast<py::ssize_t>(shown.n_spectra()), py::ssize_t{2}});
            std::int64_t* to = out.mutable_data();
            for (std::int64_t p = 0; p < shown.n_pixels(); ++p) {
              for (const std::int64_t i : shown.of_pixel(p)) {
                *to++ = pixels[static_cast<std::size_t>(p)].index;
                *to++ = i;
              }
            }
            return out;
          })
      .def("mz_range",
           [](const Handle& h) {
             const auto dataset = h.dataset;
             // May touch every page of a large file; the copied pointer keeps the mapping alive.
             const py::gil_scoped_release release;
             const auto range = dataset->mz_range();
             dataset->spectra().require_size();
             return range;
           })
      .def(
          "spectrum",
          [](const Handle& h, std::int64_t i) {
            const auto dataset = h.dataset;
            io::Spectrum spectrum;
            {
              const py::gil_scoped_release release;  // reading is thread-safe and touches no Python object
              dataset->read(i, spectrum);
              dataset->spectra().require_size();
            }
            return arrays_of(std::move(spectrum));
          },
          py::arg("index"))
      .def(
          "spectrum_range",
          [](const Handle& h, std::int64_t i, double lo, double hi) {
            const auto dataset = h.dataset;
            io::Spectrum spectrum;
            {
              const py::gil_scoped_release release;  // as in spectrum()
              dataset->read(i, lo, hi, spectrum);
              dataset->spectra().require_size();
            }
            return arrays_of(std::move(spectrum));
          },
          py::arg("index"), py::arg("lo"), py::arg("hi"));

  m.def("open_dataset", &open_dataset, py::arg("path"), py::kw_only(), py::arg("ibd_path"), py::arg("strict"),
        py::arg("duplicates"), py::arg("spectrum_type"), py::arg("repair"), py::arg("copies"), py::arg("ms_level"),
        py::arg("polarity"), py::arg("run"), py::arg("everything") = false,
        "Opens an imzML file; ibd_path=None: the ibd file next to it.");
  m.def("validate", &validate, py::arg("dataset"), py::kw_only(), py::arg("threads"), py::arg("progress"),
        "Reads every spectrum. Problems as (message, count, first spectrum, is_error); progress(spectra read).");
  m.def("spectrum_facts", &spectrum_facts, py::arg("dataset"), py::arg("spectra"), py::arg("edges"), py::kw_only(),
        py::arg("threads"),
        "Of each spectrum (n, 7): values other than 0, total, sum of squares, least, largest, values equal to the "
        "largest, values near it; and the square root of the intensity in each m/z band (n, bands).");
  m.def("read_head", &io::read_head, py::arg("path"), py::call_guard<py::gil_scoped_release>(),
        "What the header declares before its spectra: (name, value) pairs.");
  m.def("find_ibd", &io::find_ibd, py::arg("path"), py::call_guard<py::gil_scoped_release>(),
        "The ibd file of an imzML file.");
}

}  // namespace imn::bindings
