// Model: a model folder, config.json with model.onnx, loaded and checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "preprocess/preprocess_id.h"
#include "score/cascade.h"
#include "score/network.h"
#include "score/outcome.h"
#include "score/statistics.h"

namespace imn::models {

inline constexpr const char* kDefaultModel = "atto-sim-3";
inline constexpr std::int64_t kSupportedFormat = 2;
// The 8-bit variant of the network, in OpenVINO's own format; its weights are in the .bin file beside it.
inline constexpr const char* kInt8File = "model.int8.xml";

// Limits below which an image is noise, and the largest score that such images get, below the model's threshold.
struct ModelCascade {
  score::Cascade limits;
  double ceiling = 0.0;
};

struct Model {
  std::string name;
  std::string folder;
  std::string architecture;
  std::string preprocessing;  // as written
  preprocess::PreprocessId preprocess_id;
  std::vector<std::string> outputs;           // "logits", or "logits" and "structure"
  std::vector<std::string> statistics_names;  // of the network's second input, in order
  std::vector<score::Statistic> statistics;
  score::OutcomeRule rule;
  double threshold = 0.0;  // default minimum score of a pick
  std::optional<ModelCascade> cascade;
  bool int8 = false;   // the folder has an 8-bit network
  std::string sha256;  // of model.onnx

  std::int32_t n_outputs() const { return static_cast<std::int32_t>(score::kClasses + outputs.size()) - 1; }
  std::string onnx_path() const { return folder + "/model.onnx"; }
  std::string int8_path() const { return folder + "/" + kInt8File; }
};

// `model`: name of a bundled model in the folder `bundled`, or a folder; empty: the default model. Paths are UTF-8.
// Throws FileError if the folder, its config or its network is missing or invalid.
Model load_model(const std::string& model, const std::string& bundled);

// Checks a config. `path` of config.json, for messages. Leaves folder and sha256 empty. Throws FileError.
Model parse_config(const std::string& json, const std::string& path);

// Names of the model folders in the folder `bundled`, sorted.
std::vector<std::string> bundled_models(const std::string& bundled);
// The folder that load_model() reads. Throws FileError.
std::string model_folder(const std::string& model, const std::string& bundled);

// Definition of the score in one line.
std::string score_description(const score::OutcomeRule& rule);

// Throws FileError unless a network takes and returns what config.json says.
void check_network(const Model& model, const score::NetworkInfo& info);

}  // namespace imn::models
