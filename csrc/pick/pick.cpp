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
  std::vector<std::pair<std::string, LoopValue>> timings;
};

std::vector<std::pair<std::string, LoopValue>> facts(const pipeline::HostTimings& t) {
  return {{"bin_s", t.bin_s},
          {"wait_for_images_s", t.wait_for_images_s},
          {"preprocess_s", t.preprocess_s},
          {"statistics_s", t.statistics_s},
          {"cascade_s", t.cascade_s},
          {"score_s", t.score_s},
          {"total_s", t.total_s},
          {"strips", t.strips},
          {"images_per_strip", t.images_per_strip}};
}

std::vector<std::pair<std::string, LoopValue>> facts(const pipeline::DeviceTimings& t) {
  return {{"read_s", t.read_s},
          {"wait_for_data_s", t.wait_for_data_s},
          {"wait_for_device_s", t.wait_for_device_s},
          {"total_s", t.total_s},
          {"strips", t.strips},
          {"images_per_strip", t.images_per_strip},
          {"batches_ahead", t.batches_ahead},
          {"chunks", t.chunks},
          {"chunk_bytes", t.chunk_bytes},
          {"device_chunks", t.device_chunks},
          {"uploaded_bytes", t.uploaded_bytes},
          {"device_bytes", t.device_bytes},
          {"resident", t.resident}};
}

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
  if (scorer.statistic) {
    const score::Statistic wanted = *scorer.statistic;
    return pipeline::make_classical_sink(
        [wanted](const ImageStack& stack, int n, float* out) {
          score::image_statistics(stack, std::span(&wanted, 1), n, out);
        },
        threads);
  }
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
    control.limits.device_bytes = options.device_memory_limit.value_or(pipeline::default_device_bytes(*backend));
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
void rank(const Scorer& scorer, Raw& raw, const Options& options, std::optional<double> least, Peaks& peaks) {
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
  peaks.n_picked = cut_ranked(peaks.score, options.top, least);
  peaks.scoring_loop = std::move(raw.timings);
}

void add_warnings(const io::Plane& plane, const images::CandidateAxis& axis, const MaskView& mask, bool network,
                  std::vector<std::string>& texts) {
  texts = axis.notes;
  for (std::string& text : cautions(mask, network)) texts.push_back(std::move(text));
  if (plane.spectra().changed()) texts.emplace_back(kChanged);
  const auto [low, high] = plane.mz_range();
  std::int64_t outside = 0;
  for (std::size_t i = 0; i < axis.mz.size(); ++i) outside += axis.mz_hi[i] < low || axis.mz_lo[i] > high;
  if (outside == 0) return;
  char span[80];
  std::snprintf(span, sizeof span, "%.4f to %.4f", low, high);
  texts.push_back(std::to_string(outside) + " of " + std::to_string(axis.mz.size()) +
                  " m/z lie outside of the file, which spans " + span);
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

void require_one_plane(const io::Plane& plane) {
  const std::vector<std::int32_t>& planes = plane.geometry().z_planes;
  if (planes.size() < 2) return;
  throw ArgumentError(plane.file().path() + ": holds " + std::to_string(planes.size()) + " z planes, " +
                      std::to_string(planes.front()) + " to " + std::to_string(planes.back()) +
                      "; pick each plane on its own");
}

}  // namespace

std::string Scorer::description() const {
  if (!statistic) return models::score_description(*model);
  switch (*statistic) {
    case score::Statistic::moran:
      return "Moran's I of the ion image over measured pixels (rook neighbours)";
    case score::Statistic::blur:
      return "share of the ion image's variance that a Gaussian blur of sigma 2 pixels leaves, over measured pixels";
    case score::Statistic::chaos:
      return "METASPACE's measure of spatial chaos over measured pixels (just below 1 = one connected shape)";
    case score::Statistic::blur_sqrt:
      return "blur of the square root of the ion image, over measured pixels";
    case score::Statistic::reliability:
      return "split-half reliability: correlation of two random halves of the measured pixels, each smoothed by itself";
    default:
      return "share of the measured pixels that are not 0";
  }
}

void check_cut(const Scorer& scorer, const Options& options) {
  if (options.top && *options.top < 1) {
    throw ArgumentError("top must be at least 1, got " + std::to_string(*options.top));
  }
  if (options.min_score && !std::isfinite(*options.min_score)) {
    throw ArgumentError("min_score must be a finite number, not " + std::to_string(*options.min_score));
  }
  if (scorer.model == nullptr && !options.top && !options.min_score) {
    throw ArgumentError("scorer '" + scorer.name + "' has no default threshold: give top or min_score");
  }
}

Peaks pick(const io::Plane& plane, const Scorer& scorer, Channels& channels, const Options& options) {
  check_cut(scorer, options);
  require_one_plane(plane);
  Peaks peaks;
  Clock clock(peaks);
  images::CandidateAxis& axis = channels.axis;
  const auto n = static_cast<std::int64_t>(axis.mz.size());
  const io::Geometry& geometry = plane.geometry();
  std::vector<std::uint8_t> measured(static_cast<std::size_t>(geometry.n_pixels()));
  for (const io::Pixel& pixel : plane.pixels()) measured[static_cast<std::size_t>(pixel.index)] = 1;
  const MaskView mask{measured, geometry.height, geometry.width};
  // A section without channels has nothing to score, and its notes say more than the number of its pixels.
  if (n > 0 && scorer.model != nullptr) {
    if (const std::string fault = too_few(mask); !fault.empty()) throw FileError(plane.file().path(), fault);
  }
  if (n > 0 && lacks_frequency(axis)) count_frequency(plane, axis, options.threads, options.cancel);
  clock.lap("axis");
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
        return pipeline::score_windows(plane, windows, sink, control, results);
      },
      [&](const pipeline::DeviceModel& model, pipeline::DeviceBackend& backend, const pipeline::DeviceOptions& control,
          const pipeline::Results& results) {
        return pipeline::score_windows_on_device(plane, windows, model, backend, control, results);
      });
  (void)plane.copies(options.threads, options.cancel);  // from now on, the file's warnings tell of them
  clock.lap("score");
  clock.stop();
  if (scorer.model != nullptr && !options.top && !options.min_score) peaks.threshold = scorer.model->threshold;
  rank(scorer, raw, options, options.min_score ? options.min_score : peaks.threshold, peaks);
  peaks.mz = ordered(axis.mz, peaks.channel);
  peaks.mz_lo = ordered(axis.mz_lo, peaks.channel);
  peaks.mz_hi = ordered(axis.mz_hi, peaks.channel);
  peaks.frequency = ordered(axis.frequency, peaks.channel);
  add_warnings(plane, axis, mask, scorer.model != nullptr, peaks.warnings);
  return peaks;
}

Peaks score_images(const ImageStack& stack, const Scorer& scorer, const Options& options) {
  if (options.top || options.min_score) check_cut(scorer, options);
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
  rank(scorer, raw, options, options.min_score, peaks);
  const std::vector<double> unknown(peaks.score.size(), std::numeric_limits<double>::quiet_NaN());
  peaks.mz = peaks.mz_lo = peaks.mz_hi = peaks.frequency = unknown;
  return peaks;
}

}  // namespace imn::pick
