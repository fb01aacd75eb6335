#include "models/model.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/sha256.h"
#include "io/bytes.h"

namespace imn::models {

namespace {

namespace fs = std::filesystem;

fs::path from_utf8(const std::string& text) { return fs::path(std::u8string(text.begin(), text.end())); }

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(from_utf8(path), error);
}

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(from_utf8(path), error);
}

io::Held content(const io::Bytes& file) { return file.hold(0, file.size()); }

std::string shape_text(std::int32_t channels, std::int32_t height, std::int32_t width) {
  return "(" + std::to_string(channels) + ", " + std::to_string(height) + ", " + std::to_string(width) + ")";
}

std::string listed(const std::vector<std::string>& names, const char* otherwise) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? otherwise : text;
}

}  // namespace

std::vector<std::string> bundled_models(const std::string& bundled) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& each : fs::directory_iterator(from_utf8(bundled), error)) {
    const std::u8string name = each.path().filename().u8string();
    if (fs::is_regular_file(each.path() / "config.json", error)) names.emplace_back(name.begin(), name.end());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string model_folder(const std::string& model, const std::string& bundled) {
  const std::string name = model.empty() ? kDefaultModel : model;
  if (is_folder(name)) return name;
  if (name.find_first_of("/\\") != std::string::npos) throw FileError(name, "no such model folder");
  if (is_folder(bundled + "/" + name)) return bundled + "/" + name;
  const std::vector<std::string> names = bundled_models(bundled);
  throw FileError(name, "neither a folder nor a bundled model (bundled: " +
                            (names.empty() ? "none in " + bundled : listed(names, "")) + ")");
}

Model load_model(const std::string& model, const std::string& bundled) {
  const std::string folder = model_folder(model, bundled);
  const std::string path = folder + "/config.json";
  const io::Bytes config(path, io::Access::sequential, io::Reading::calls);
  const io::Held text = content(config);
  Model loaded = parse_config({reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size()}, path);
  loaded.folder = folder;
  if (!is_file(loaded.onnx_path())) throw FileError(folder, "no model.onnx in the model folder");
  const std::string weights = folder + "/model.int8.bin";
  if (loaded.int8 && !(is_file(loaded.int8_path()) && is_file(weights))) {
    throw FileError(
        folder, std::string("config.json names an 8-bit network, but ") + kInt8File + " or its .bin file is missing");
  }
  const io::Bytes network(loaded.onnx_path(), io::Access::sequential, io::Reading::calls);
  Sha256 hash;
  hash.update(content(network).bytes());
  loaded.sha256 = hash.hex();
  return loaded;
}

std::string score_description(const score::OutcomeRule& rule) {
  if (!rule.weights) return "calibrated structure estimate (0 to 1)";
  const auto& weights = *rule.weights;
  const bool plain = std::all_of(weights.begin(), weights.end(), [](double w) { return w == 0.0 || w == 1.0; });
  std::string text;
  for (std::size_t c = 0; c < weights.size(); ++c) {
    if (weights[c] == 0.0) continue;
    if (!text.empty()) text += " + ";
    char factor[32] = "";
    if (!plain) std::snprintf(factor, sizeof factor, "%g ", weights[c]);
    text += factor + std::string("P(") + score::kClassNames[c] + ")";
  }
  return (plain ? "informative score = " : "expected structure = ") + text;
}

void check_network(const Model& model, const score::NetworkInfo& info) {
  const preprocess::PreprocessId& id = model.preprocess_id;
  if (info.channels != id.channels() || info.height != id.size || info.width != id.size) {
    throw FileError(model.onnx_path(), "takes images of (channels, height, width) " +
                                           shape_text(info.channels, info.height, info.width) +
                                           ", but preprocessing '" + model.preprocessing + "' makes " +
                                           shape_text(id.channels(), id.size, id.size));
  }
  if (info.n_statistics != static_cast<std::int32_t>(model.statistics.size())) {
    throw FileError(model.onnx_path(), "takes " + (info.n_statistics == 0 ? "no" : std::to_string(info.n_statistics)) +
                                           " statistics with each image, but config.json names " +
                                           listed(model.statistics_names, "none"));
  }
  if (info.n_outputs != model.n_outputs()) {
    throw FileError(model.onnx_path(), "returns " + std::to_string(info.n_outputs) +
                                           " values per image, but config.json (" + listed(model.outputs, "") +
                                           ") says " + std::to_string(model.n_outputs()));
  }
}

}  // namespace imn::models
