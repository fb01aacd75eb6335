// Scorers: a statistic, or a model with an engine.
#include <algorithm>
#include <array>

#include "capi/engine_network.h"
#include "capi/engine_plugin.h"
#include "capi/objects.h"

namespace imn::capi {

namespace {

constexpr auto kStatistics = [] {
  std::array<const char*, score::kRankingStatistics.size()> names{};
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = score::name_of(score::kRankingStatistics[i]);
  return names;
}();
// In the order in which "auto" tries them.
constexpr std::array kEngines{"openvino", "onnxruntime"};
constexpr std::array kPrecisions{"auto", "f32", "bf16", "int8"};

template <std::size_t N>
bool among(const std::array<const char*, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <std::size_t N>
std::string listed(const std::array<const char*, N>& names) {
  std::string text;
  for (const char* name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

struct Wanted {
  std::string engine, model, precision, engine_library;
  int threads = 0;
};

// What a plug-in is asked for: the network of the model that the precision selects.
EngineRequest request_for(const Scorer& scorer, const Wanted& wanted, const std::string& name) {
  const models::Model& model = *scorer.model;
  const bool quantised = wanted.precision == "int8";
  EngineRequest request;
  request.name = name;
  request.engine_dir = scorer.context->engine_dir;
  request.library_path = wanted.engine_library;
  request.network_path = quantised ? model.int8_path() : model.onnx_path();
  request.precision = quantised ? "auto" : wanted.precision;  // what is not quantised runs in the CPU's best
  request.threads = wanted.threads;
  request.wanted.channels = model.preprocess_id.channels();
  request.wanted.height = request.wanted.width = model.preprocess_id.size;
  request.wanted.n_statistics = static_cast<std::int32_t>(model.statistics.size());
  request.wanted.n_outputs = model.n_outputs();
  request.log = [context = scorer.context](int level, const std::string& text) { context->tell(level, text); };
  return request;
}

void start_engine(Scorer& scorer, const Wanted& wanted) {
  const bool automatic = wanted.engine == "auto";
  std::string reasons;
  for (const char* name : kEngines) {
    if (!automatic && wanted.engine != name) continue;
    try {
      scorer.network = load_engine(request_for(scorer, wanted, name));
      return;
    } catch (const UnavailableError& error) {
      if (!automatic) throw;
      scorer.native.refused[name] = error.what();
      reasons += std::string("; ") + error.what();
    }
  }
  throw UnavailableError("no engine runs the network" + reasons);
}

void take_engine(Scorer& scorer, const std::shared_ptr<const OwnedEngine>& engine) {
  if (engine->get().memory == IMN_MEMORY_HOST) {
    scorer.network = make_engine_network(engine);
    return;
  }
  models::check_network(*scorer.model, engine_info(engine->get()));
  scorer.device_network = make_engine_device_network(engine);
  scorer.native.device_network = &*scorer.device_network;
  scorer.native.device_index = engine->get().device;
  scorer.native.name = scorer.device_network->info.name;
  scorer.native.precision = scorer.device_network->info.precision;
  scorer.native.device = "cuda:" + std::to_string(engine->get().device);
}

void start_network(Scorer& scorer, const Wanted& wanted, const std::shared_ptr<const OwnedEngine>& custom) {
  if (!among(kPrecisions, wanted.precision)) {
    throw ArgumentError("precision must be one of " + listed(kPrecisions) + ", not '" + wanted.precision + "'");
  }
  scorer.model = models::load_model(wanted.model, scorer.context->model_dir);
  scorer.native.model = &*scorer.model;
  const bool quantised = wanted.precision == "int8";
  if (quantised && !scorer.model->int8) {
    throw UnavailableError(scorer.model->folder +
                           ": has no 8-bit network; make one with `ionmorphnet export --int8`, or use f32 or bf16");
  }
  if (quantised && (custom || (wanted.engine != "auto" && wanted.engine != "openvino"))) {
    throw ArgumentError("precision 'int8' is for engine 'openvino'");
  }
  if (custom) {
    take_engine(scorer, custom);
  } else {
    start_engine(scorer, wanted);
  }
  if (!scorer.network) return;
  const score::NetworkInfo& info = scorer.network->info();
  models::check_network(*scorer.model, info);
  scorer.native.network = scorer.network.get();
  scorer.native.name = info.name;
  scorer.native.device = info.device;
  scorer.native.precision = quantised ? "int8" : info.precision;
}

std::string text_of(const Scorer& scorer, std::int32_t what) {
  switch (what) {
    case IMN_SCORER_NAME:
      return scorer.native.name;
    case IMN_SCORER_PRECISION:
      return scorer.native.precision;
    case IMN_SCORER_DEVICE:
      return scorer.native.device;
    case IMN_SCORER_MODEL:
      return scorer.model ? scorer.model->name : "";
    case IMN_SCORER_DESCRIPTION:
      return scorer.native.description();
    default:
      throw ArgumentError("there is no text " + std::to_string(what) + " of a scorer");
  }
}

std::shared_ptr<Scorer> make_scorer(const std::shared_ptr<const Context>& context, const imn_scorer_options& given,
                                    const std::shared_ptr<const OwnedEngine>& custom) {
  auto scorer = std::make_shared<Scorer>();
  scorer->context = context;
  Wanted wanted{text_or(given.engine, "auto"), text_or(given.model), text_or(given.precision, "auto"),
                text_or(given.engine_library), checked_threads(given.threads, context->threads)};
  scorer->native.cascade = given.no_cascade == 0;
  if (custom && given.engine != nullptr) throw ArgumentError("give either engine or custom");
  if (!custom && among(kStatistics, wanted.engine)) {
    if (given.model != nullptr) throw ArgumentError("scorer '" + wanted.engine + "' uses no model; leave model out");
    scorer->native.name = wanted.engine;
    scorer->native.statistic = score::parse_statistic(wanted.engine);
    return scorer;
  }
  if (wanted.engine != "auto" && !among(kEngines, wanted.engine)) {
    throw ArgumentError("unknown engine '" + wanted.engine + "'; known: auto, " + listed(kEngines) + ", " +
                        listed(kStatistics));
  }
  start_network(*scorer, wanted, custom);
  return scorer;
}

}  // namespace

}  // namespace imn::capi

using namespace imn::capi;

extern "C" {

imn_status IMN_CALL imn_scorer_new(imn_context* context, const imn_scorer_options* options, imn_scorer** out) {
  return guarded([&] {
    if (out != nullptr) *out = nullptr;
    const imn_scorer_options given = options_of(options, "imn_scorer_options");
    require_zero(given.reserved, "imn_scorer_options");
    std::shared_ptr<const OwnedEngine> custom;
    if (given.custom != nullptr) {
      const imn_engine engine = options_of(given.custom, "imn_engine");
      require_zero(engine.reserved, "imn_engine");
      custom = std::make_shared<const OwnedEngine>(engine);
    }
    clear_out(out);
    *out = new_handle<imn_scorer>(make_scorer(object_of<Context>(context), given, custom));
  });
}

void IMN_CALL imn_scorer_free(imn_scorer* scorer) { drop_handle(KindOf<Scorer>::name, scorer); }

imn_status IMN_CALL imn_scorer_text(const imn_scorer* scorer, int32_t what, char* to, uint64_t n, uint64_t* length) {
  return guarded([&] { copy_text(text_of(*object_of<Scorer>(scorer), what), to, n, length); });
}

}  // extern "C"
