// config.json of a model folder.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "models/model.h"

namespace imn::models {

namespace {

using Json = nlohmann::json;

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

std::string class_list() { return joined({score::kClassNames.begin(), score::kClassNames.end()}); }

std::string plain(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

class Config {
 public:
  Config(const Json& json, const std::string& path) : json_(json), path_(path) {}

  Model read() const {
    if (!json_.is_object()) fail("must be a JSON object");
    const std::int64_t format = integer("format");
    if (format > kSupportedFormat) {
      fail("format " + std::to_string(format) + " is newer than this version reads (" +
           std::to_string(kSupportedFormat) + ")");
    }
    check_classes();
    Model model;
    model.preprocessing = text("preprocessing");
    try {
      model.preprocess_id = preprocess::parse_preprocess_id(model.preprocessing);
    } catch (const ArgumentError& error) {
      fail(error.what());
    }
    check_input(model.preprocess_id);
    model.outputs = outputs(format);
    model.rule.structure = model.outputs.size() > 1;
    model.threshold = threshold();
    const Json& score = object("score");
    const std::string kind = score.contains("kind") ? plain(score["kind"]) : "None";
    if (kind == "structure" && !model.rule.structure) {
      fail("score kind 'structure' needs the output 'structure', got " + joined(model.outputs));
    }
    model.name = text("name");
    model.architecture = text("architecture");
    model.statistics_names = statistics(format);
    for (const std::string& name : model.statistics_names) model.statistics.push_back(score::parse_statistic(name));
    if (kind != "structure") model.rule.weights = weights(score, kind);
    model.cascade = cascade(model.threshold);
    if (model.cascade) model.rule.ceiling = model.cascade->ceiling;
    model.int8 = json_.contains("int8");
    return model;
  }

 private:
  [[noreturn]] void fail(const std::string& cause) const { throw FileError(path_, cause); }
  [[noreturn]] void missing(const char* key) const {
    fail("'" + std::string(key) + "' is missing or has the wrong type");
  }

  std::string text(const char* key) const {
    if (!json_.contains(key) || !json_[key].is_string()) missing(key);
    return json_[key].get<std::string>();
  }
  std::int64_t integer(const char* key) const {
    if (!json_.contains(key) || !json_[key].is_number_integer()) missing(key);
    return json_[key].get<std::int64_t>();
  }
  const Json& object(const char* key) const {
    if (!json_.contains(key) || !json_[key].is_object()) missing(key);
    return json_[key];
  }

  void check_classes() const {
    if (!json_.contains("classes") || !json_["classes"].is_array()) missing("classes");
    std::vector<std::string> names;
    for (const Json& name : json_["classes"]) names.push_back(plain(name));
    if (!std::equal(names.begin(), names.end(), score::kClassNames.begin(), score::kClassNames.end())) {
      fail("classes must be " + class_list() + " in this order, got " + joined(names));
    }
  }

  void check_input(const preprocess::PreprocessId& id) const {
    if (!json_.contains("input") || json_["input"].is_null()) return;
    const Json& input = json_["input"];
    const bool fits =
        input.is_object() && input.value("channels", Json()) == id.channels() && input.value("size", Json()) == id.size;
    if (!fits) {
      fail("'input' must have " + std::to_string(id.channels()) + " channels and size " + std::to_string(id.size) +
           ", as the preprocessing says, got " + input.dump());
    }
  }

  std::vector<std::string> outputs(std::int64_t format) const {
    std::vector<std::string> names{"logits"};
    if (!json_.contains("outputs")) return names;
    const Json& given = json_["outputs"];
    if (given == Json({"logits", "structure"})) {
      names.emplace_back("structure");
    } else if (given != Json(std::vector<std::string>{"logits"})) {
      std::vector<std::string> found;
      if (given.is_array()) std::transform(given.begin(), given.end(), std::back_inserter(found), plain);
      fail("outputs must be logits, or logits and structure in this order, got " +
           (given.is_array() ? joined(found) : given.dump()));
    }
    if (format < 2 && names.size() > 1) {
      fail("the output 'structure' needs format 2, but the format is " + std::to_string(format));
    }
    return names;
  }

  double threshold() const {
    if (!json_.contains("threshold") || !json_["threshold"].is_number()) missing("threshold");
    const double value = json_["threshold"].get<double>();
    if (!std::isfinite(value)) fail("threshold must be a finite number, got " + number_text(value));
    return value;
  }

  std::vector<std::string> statistics(std::int64_t format) const {
    std::vector<std::string> names;
    if (!json_.contains("statistics")) return names;
    const Json& given = json_["statistics"];
    if (!given.is_array()) fail("'statistics' must be a list of names, got " + given.dump());
    for (const Json& each : given) {
      names.push_back(plain(each));
      try {
        score::parse_statistic(each.is_string() ? names.back() : "");
      } catch (const ArgumentError& error) {
        const std::string known = error.what();
        const auto list = known.find("known: ");
        fail("unknown statistic '" + names.back() + "'" +
             (list == std::string::npos ? "" : " (" + known.substr(list) + ")"));
      }
    }
    if (std::set<std::string>(names.begin(), names.end()).size() < names.size()) {
      fail("statistics are repeated: " + joined(names));
    }
    if (format < 2 && !names.empty()) {
      fail("statistics need format 2, but the format is " + std::to_string(format));
    }
    return names;
  }

  // Of the kinds sum_of_probabilities (published) and weighted_probabilities.
  std::array<double, score::kClasses> weights(const Json& score, const std::string& kind) const {
    std::vector<std::pair<std::string, Json>> named;
    if (kind == "sum_of_probabilities") {
      const Json names = score.value("classes", Json::array());
      const bool strings = names.is_array() &&
                           std::all_of(names.begin(), names.end(), [](const Json& each) { return each.is_string(); });
      if (strings) {
        for (const Json& each : names) named.emplace_back(each.get<std::string>(), Json(1.0));
      }
    } else if (kind == "weighted_probabilities") {
      const Json given = score.value("weights", Json::object());
      if (given.is_object()) {
        for (const auto& [name, weight] : given.items()) named.emplace_back(name, weight);
      }
    } else {
      fail("unknown score kind '" + kind + "' (known: sum_of_probabilities, weighted_probabilities, structure)");
    }
    std::array<double, score::kClasses> found{};
    bool valid = !named.empty();
    for (const auto& [name, weight] : named) {
      const auto at = std::find(score::kClassNames.begin(), score::kClassNames.end(), name);
      const double value = weight.is_number() ? weight.get<double>() : -1.0;
      valid = valid && at != score::kClassNames.end() && value >= 0.0 && value <= 1.0;
      if (valid) found[static_cast<std::size_t>(at - score::kClassNames.begin())] = value;
    }
    if (!valid) fail("score must name some of " + class_list() + ", with weights from 0 to 1");
    return found;
  }

  std::optional<ModelCascade> cascade(double threshold) const {
    if (!json_.contains("cascade") || json_["cascade"].is_null()) return std::nullopt;
    const Json& given = json_["cascade"];
    if (!given.is_object()) fail("'cascade' must be an object");
    const auto positive = [&](const char* name) {
      const Json value = given.value(name, Json());
      const double number = value.is_number() ? value.get<double>() : 0.0;
      if (!std::isfinite(number) || number <= 0.0) {
        fail("cascade '" + std::string(name) + "' must be a positive number, got " + value.dump());
      }
      return number;
    };
    ModelCascade found{{positive("moran_z"), positive("blur")}, positive("ceiling")};
    if (found.ceiling >= threshold) {
      fail("the ceiling " + number_text(found.ceiling) + " of the cascade must be below the threshold " +
           number_text(threshold) + ", or images that the network never saw would be picked");
    }
    const Json evidence = given.value("evidence", Json::object());
    if (!evidence.is_object() || evidence.value("lost", Json(0)) != 0) {
      fail("the cascade loses structured images according to its evidence; fit it again");
    }
    return found;
  }

  const Json& json_;
  const std::string& path_;
};

}  // namespace

Model parse_config(const std::string& json, const std::string& path) {
  Json parsed;
  try {
    parsed = Json::parse(json);
  } catch (const Json::exception& error) {
    throw FileError(path, std::string("not valid JSON (") + error.what() + ")");
  }
  return Config(parsed, path).read();
}

}  // namespace imn::models
