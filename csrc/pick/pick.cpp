#include "pick/pick.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/stopwatch.h"
#include "pick/pixels.h"
#include "pick/ranking.h"
#include "pipeline/common/measured_mask.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/loop.h"
#include "pipeline/host/image_sink.h"
#include "pipeline/host/loop.h"
#include "score/outcome.h"

namespace imn::pick {

namespace {

constexpr const char* kChanged =
    "its ibd file was written to after it was opened; what was read may mix both states, read it again";

// What the loops leave behind, in the order of the images.
struct Raw {
  std::vector<float> outputs, reach;
  std::vector<std::uint8_t> blank;
  pipeline::LoopFacts timings;
};

pipeline::Results room_for(Raw& raw, std::int64_t n, std::int32_t n_outputs, bool reach) {
  raw.outputs.resize(static_cast<std::size_t>(n * n_outputs));
  raw.blank.resize(static_cast<std::size_t>(n));
  if (reach) raw.reach.assign(static_cast<std::size_t>(n), std::numeric_limits<float>::quiet_NaN());
  return {raw.outputs, raw.blank, raw.reach};
}

template <typename Control>
void take(Control& control, const Options& options, const float* sample) {
  control.threads = options.threads;
  control.progress = options.progress;
  control.cancel = options.cancel;
  control.sample = sample;
}

bool cascade_works(const Scorer& scorer) { return scorer.cascade && scorer.model->cascade.has_value(); }

std::unique_ptr<pipeline::ImageSink> make_sink(const Scorer& scorer, int threads) {
  if (scorer.statistic) return pipeline::make_statistic_sink(*scorer.statistic, threads);
  std::optional<score::Cascade> cascade;
  if (cascade_works(scorer)) cascade = scorer.model->cascade->limits;
  return pipeline::make_model_sink(*scorer.network, scorer.model->preprocess_id, scorer.model->statistics, cascade,
                                   threads);
}

// Runs one of the loops: host(sink, options, results) or device(model, backend, options, results).
template <typename Host, typename Device>
Raw run_loop(const Scorer& scorer, std::int64_t n, const Options& options, const float* sample, Host&& host,
             Device&& device) {
  Raw raw;
  if (scorer.device_network != nullptr) {
    const pipeline::DeviceModel model{*scorer.device_network, scorer.model->preprocess_id, scorer.model->statistics};
    const auto backend = pipeline::make_cuda_backend(scorer.device_index);
    pipeline::DeviceOptions control;
    take(control, options, sample);
    control.limits.device_bytes = pipeline::device_bytes(options.device_memory_limit, *backend);
    const pipeline::Results results = room_for(raw, n, model.network.info.n_outputs, false);
    raw.timings = facts(device(model, *backend, control, results));
    return raw;
  }
  const auto sink = make_sink(scorer, options.threads);
  pipeline::HostOptions control;
  take(control, options, sample);
  control.memory_limit = options.memory_limit;
  const pipeline::Results results = room_for(raw, n, sink->n_outputs(), !scorer.statistic && cascade_works(scorer));
  raw.timings = facts(host(*sink, control, results));
  return raw;
}

std::vector<double> ordered(const std::vector<double>& values, const std::vector<std::int64_t>& order) {
  std::vector<double> out;
  out.reserve(order.size());
  for (const std::int64_t i : order) out.push_back(values[static_cast<std::size_t>(i)]);
  return out;
}

// Fills everything that follows from the outputs; rows in the order of the scores.
void rank(const Scorer& scorer, Raw& raw, const Cut& cut, std::optional<double> threshold, Peaks& peaks) {
  score::Outcome outcome;
  if (scorer.statistic) {
    score::check_scores(scorer.name, raw.outputs);
    outcome.score.assign(raw.outputs.begin(), raw.outputs.end());
  } else {
    outcome = score::network_outcome(scorer.name, raw.outputs, raw.blank, raw.reach, scorer.model->rule);
  }
  peaks.channel = rank_scores(outcome.score);
  peaks.score = ordered(outcome.score, peaks.channel);
  if (!outcome.structure.empty()) peaks.structure = ordered(outcome.structure, peaks.channel);
  for (const std::int64_t channel : peaks.channel) {
    const auto i = static_cast<std::size_t>(channel);
    peaks.blank.push_back(raw.blank[i]);
    peaks.spared.push_back(!raw.reach.empty() && !std::isnan(raw.reach[i]) ? 1 : 0);
    if (outcome.label.empty()) continue;
    peaks.label.push_back(outcome.label[i]);
    const auto row = outcome.probabilities.begin() + static_cast<std::ptrdiff_t>(i * score::kClasses);
    peaks.probabilities.insert(peaks.probabilities.end(), row, row + score::kClasses);
  }
  peaks.n_picked = static_cast<std::int64_t>(pick_ranked(peaks.score, cut, threshold).rows.size());
  peaks.scoring_loop = std::move(raw.timings);
}

class Clock {
 public:
  explicit Clock(Peaks& peaks) : peaks_(peaks) {}
  void lap(const char* name) {
    const double now = watch_.seconds();
    peaks_.timings.emplace_back(name, now - last_);
    last_ = now;
  }
  void stop() { peaks_.timings.emplace_back("total", last_); }

 private:
  Peaks& peaks_;
  Stopwatch watch_;
  double last_ = 0.0;
};

// The measured pixels of a plane.
class PlaneMask {
 public:
  explicit PlaneMask(const io::Plane& plane)
      : measured_(static_cast<std::size_t>(plane.geometry().n_pixels())),
        height_(plane.geometry().height),
        width_(plane.geometry().width) {
    for (const io::Pixel& pixel : plane.pixels()) measured_[static_cast<std::size_t>(pixel.index)] = 1;
  }
  MaskView view() const { return {measured_, height_, width_}; }

 private:
  std::vector<std::uint8_t> measured_;
  std::int64_t height_, width_;
};

}  // namespace

std::string Scorer::description() const {
  return statistic ? score::description(*statistic) : models::score_description(model->rule);
}

void prepare(const io::Plane& plane, bool network, images::CandidateAxis& axis, int threads,
             const std::atomic<bool>* cancel) {
  const PlaneMask mask(plane);
  // A section without channels has nothing to score, and its notes say more than the number of its pixels.
  if (axis.mz.empty()) return;
  if (network) {
    if (const std::string fault = too_few(mask.view()); !fault.empty()) throw FileError(plane.file().path(), fault);
  }
  if (lacks_frequency(axis)) count_frequency(plane, axis, threads, cancel);
}

std::vector<std::string> warnings(const io::Plane& plane, const images::CandidateAxis& axis, bool network) {
  std::vector<std::string> texts = axis.notes;
  for (std::string& text : cautions(PlaneMask(plane).view(), network)) texts.push_back(std::move(text));
  if (plane.spectra().changed()) texts.emplace_back(kChanged);
  const auto [low, high] = plane.mz_range();
  std::int64_t outside = 0;
  for (std::size_t i = 0; i < axis.mz.size(); ++i) outside += axis.mz_hi[i] < low || axis.mz_lo[i] > high;
  if (outside == 0) return texts;
  char span[80];
  std::snprintf(span, sizeof span, "%.4f to %.4f", low, high);
  texts.push_back(std::to_string(outside) + " of " + std::to_string(axis.mz.size()) +
                  " m/z lie outside of the file, which spans " + span);
  return texts;
}

Peaks pick(const io::Plane& plane, const Scorer& scorer, Channels& channels, const Options& options) {
  check_cut(options);
  require_cut(scorer.name, options, scorer.threshold());
  plane.require_one_z("pick each plane on its own");
  Peaks peaks;
  Clock clock(peaks);
  images::CandidateAxis& axis = channels.axis;
  const auto n = static_cast<std::int64_t>(axis.mz.size());
  prepare(plane, scorer.model != nullptr, axis, options.threads, options.cancel);
  clock.lap("axis");
  std::shared_ptr<const io::Plane> normalised;
  if (options.normalize) {
    constexpr double kAll = std::numeric_limits<double>::infinity();
    const std::vector<double> norms =
        images::pixel_norms(plane, *options.normalize, 0.0, kAll, options.threads, options.cancel);
    normalised = plane.scaled(images::normalization_factors(norms));
    clock.lap("normalize");
  }
  const io::Plane& scored = normalised ? *normalised : plane;
  const float* map = nullptr;
  if (scorer.model != nullptr && scorer.model->preprocess_id.sample) {
    peaks.sample = section_sample(plane, axis, options.threads, options.cancel);
    peaks.sample_used = !peaks.sample->map.empty();
    if (peaks.sample_used) map = peaks.sample->map.data();
    clock.lap("sample");
  }
  std::vector<images::MzWindow> windows;
  for (std::size_t i = 0; i < axis.mz.size(); ++i) windows.push_back({axis.mz_lo[i], axis.mz_hi[i]});
  Raw raw = run_loop(
      scorer, n, options, map,
      [&](pipeline::ImageSink& sink, const pipeline::HostOptions& control, const pipeline::Results& results) {
        return pipeline::score_windows(scored, windows, sink, control, results);
      },
      [&](const pipeline::DeviceModel& model, pipeline::DeviceBackend& backend, const pipeline::DeviceOptions& control,
          const pipeline::Results& results) {
        return pipeline::score_windows_on_device(scored, windows, model, backend, control, results);
      });
  (void)plane.copies(options.threads, options.cancel);  // from now on, the file's warnings tell of them
  clock.lap("score");
  clock.stop();
  peaks.threshold = cutting_threshold(options, scorer.threshold());
  rank(scorer, raw, options, peaks.threshold, peaks);
  peaks.mz = ordered(axis.mz, peaks.channel);
  peaks.mz_lo = ordered(axis.mz_lo, peaks.channel);
  peaks.mz_hi = ordered(axis.mz_hi, peaks.channel);
  peaks.frequency = ordered(axis.frequency, peaks.channel);
  peaks.warnings = warnings(plane, axis, scorer.model != nullptr);
  return peaks;
}

Peaks score_images(const ImageStack& stack, const Scorer& scorer, const Options& options) {
  check_cut(options);
  Peaks peaks;
  Clock clock(peaks);
  Raw raw = run_loop(
      scorer, stack.n, options, nullptr,
      [&](pipeline::ImageSink& sink, const pipeline::HostOptions& control, const pipeline::Results& results) {
        return pipeline::score_stack(stack, sink, control, results);
      },
      [&](const pipeline::DeviceModel& model, pipeline::DeviceBackend& backend, const pipeline::DeviceOptions& control,
          const pipeline::Results& results) {
        return pipeline::score_stack_on_device(stack, model, backend, control, results);
      });
  clock.lap("score");
  clock.stop();
  rank(scorer, raw, options, std::nullopt, peaks);
  const std::vector<double> unknown(peaks.score.size(), std::numeric_limits<double>::quiet_NaN());
  peaks.mz = peaks.mz_lo = peaks.mz_hi = peaks.frequency = unknown;
  return peaks;
}

}  // namespace imn::pick
