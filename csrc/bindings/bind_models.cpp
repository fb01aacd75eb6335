// Model folders, and the names that models and scorers go by.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/network_handle.h"
#include "bindings/python_types.h"
#include "bindings/register.h"
#include "models/model.h"

namespace py = pybind11;

namespace imn::bindings {
namespace {

using ModelFacts = TypedDict<"ModelFacts">;

ModelFacts load_model(const std::string& name, const std::string& bundled) {
  models::Model model;
  {
    // Reads the whole network; uses C++ values only.
    const py::gil_scoped_release release;
    model = models::load_model(name, bundled);
  }
  ModelFacts d;
  d["name"] = model.name;
  d["folder"] = model.folder;
  d["architecture"] = model.architecture;
  d["preprocessing"] = model.preprocessing;
  d["outputs"] = model.outputs;
  d["statistics"] = model.statistics_names;
  d["weights"] = model.rule.weights;
  d["threshold"] = model.threshold;
  d["cascade"] = py::none();
  if (model.cascade) {
    d["cascade"] = py::make_tuple(model.cascade->limits.moran_z, model.cascade->limits.blur, model.cascade->ceiling);
  }
  d["int8"] = model.int8;
  d["sha256"] = model.sha256;
  return d;
}

void check_network(const NetworkHandle& network, const std::string& folder, const std::string& preprocessing,
                   const std::vector<std::string>& outputs, const std::vector<std::string>& statistics) {
  models::Model model;
  model.folder = folder;
  model.preprocessing = preprocessing;
  model.preprocess_id = preprocess::parse_preprocess_id(preprocessing);
  model.outputs = outputs;
  model.statistics_names = statistics;
  for (const std::string& name : statistics) model.statistics.push_back(score::parse_statistic(name));
  models::check_network(model, network.network->info());
}

// resize, size, mask, sqrt, sample.
using PreprocessParts = py::typing::Tuple<py::str, py::int_, py::bool_, py::bool_, py::bool_>;

PreprocessParts parse_preprocess_id(const std::string& text) {
  const preprocess::PreprocessId id = preprocess::parse_preprocess_id(text);
  return py::make_tuple(id.resize == preprocess::Resize::area ? "area" : "stretch", id.size, id.mask, id.sqrt,
                        id.sample);
}

}  // namespace

void register_models(py::module_& m) {
  m.def(
      "class_names", [] { return std::vector<std::string>(score::kClassNames.begin(), score::kClassNames.end()); },
      "Names of the classes in the order of the logits.");
  m.def(
      "statistic_names",
      [] { return std::vector<std::string>(score::kStatisticNames.begin(), score::kStatisticNames.end()); },
      "Names of the classical statistics in the order of the columns of image_statistics().");
  m.def(
      "ranking_statistics",
      [] {
        std::vector<std::pair<std::string, std::string>> named;
        for (const score::Statistic each : score::kRankingStatistics) {
          named.emplace_back(score::name_of(each), score::description(each));
        }
        return named;
      },
      "Name and description of each statistic that ranks channels.");
  m.attr("HIGHEST_GRADE") = score::kHighestGrade;
  m.attr("DEFAULT_MODEL") = models::kDefaultModel;
  m.attr("SUPPORTED_FORMAT") = models::kSupportedFormat;
  m.attr("INT8_FILE") = models::kInt8File;
  m.def("load_model", &load_model, py::arg("model"), py::arg("bundled"),
        "Loads and checks a model folder, or a model in the folder `bundled`.");
  m.def("model_folder", &models::model_folder, py::arg("model"), py::arg("bundled"), "The folder of a model.");
  m.def("bundled_models", &models::bundled_models, py::arg("bundled"), "Names of the models in a folder.");
  m.def(
      "score_description",
      [](const std::optional<std::array<double, score::kClasses>>& weights) {
        return models::score_description({false, weights, std::nullopt});
      },
      py::arg("weights"), "Definition of the score in one line; None: the structure is the score.");
  m.def("check_network", &check_network, py::arg("network"), py::kw_only(), py::arg("folder"), py::arg("preprocessing"),
        py::arg("outputs"), py::arg("statistics"),
        "FileError unless the network takes and returns what the model's config.json says.");
  m.def("parse_preprocess_id", &parse_preprocess_id, py::arg("preprocess_id"),
        "resize, size, mask, sqrt and sample of a preprocessing id.");
}

}  // namespace imn::bindings
