// pick: from an opened section to its ranked channels, and from images in memory to their scores.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/image_stack.h"
#include "images/pixel_norms.h"
#include "io/plane.h"
#include "models/model.h"
#include "pick/axis.h"
#include "pick/cut.h"
#include "pick/pixels.h"
#include "pick/sample.h"
#include "pipeline/host/options.h"
#include "score/device_network.h"
#include "score/network.h"
#include "score/statistics.h"

namespace imn::pick {

// What scores: a statistic, or a model with a network on the host or on a device.
struct Scorer {
  std::string name;
  std::string device = "cpu";
  std::string precision = "f32";
  std::map<std::string, std::string> refused;  // engines that were tried before, and why they did not start
  std::optional<score::Statistic> statistic;
  const models::Model* model = nullptr;
  score::Network* network = nullptr;  // fed by one pick at a time
  const score::DeviceNetwork* device_network = nullptr;
  int device_index = 0;
  bool cascade = true;  // whether the model's cascade is at work

  std::string description() const;
  std::optional<double> threshold() const { return model == nullptr ? std::nullopt : std::optional(model->threshold); }
};

struct Options : Cut {
  int threads = 0;
  std::int64_t memory_limit = pipeline::kDefaultMemoryLimit;
  std::optional<std::int64_t> device_memory_limit;
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;
  // Ion images are divided by this norm of their pixels' spectra before they are scored, as normalization_factors()
  // does.
  std::optional<images::Norm> normalize;
};

// One row per candidate, ranked; equal scores by ascending m/z.
struct Peaks {
  std::vector<std::int64_t> channel;  // position on the axis, or of the image
  std::vector<double> mz, mz_lo, mz_hi, score, frequency;
  std::vector<double> probabilities;  // (n, classes); empty for a statistic
  std::vector<double> structure;      // empty if the model has none
  std::vector<std::int32_t> label;    // empty for a statistic
  std::vector<std::uint8_t> blank, spared;
  std::int64_t n_picked = 0;

  std::optional<double> threshold;                      // of the model, if it made the cut
  std::vector<std::string> warnings;                    // what limits the meaning of the scores
  std::vector<std::pair<std::string, double>> timings;  // seconds of each stage, in order
  pipeline::LoopFacts scoring_loop;                     // within the scoring stage
  std::optional<SectionSample> sample;
  bool sample_used = false;

  std::int64_t n() const { return static_cast<std::int64_t>(score.size()); }
};

// Everything that comes before the channels are scored: refuses what cannot be scored, and counts the frequencies if
// none is known. `network`: whether one is to score. Throws ArgumentError for several z values, FileError if the
// section has too few measured pixels for a network, and Cancelled.
void prepare(const io::Plane& plane, bool network, images::CandidateAxis& axis, int threads,
             const std::atomic<bool>* cancel = nullptr);

// What limits the meaning of the scores of these channels, one line each.
std::vector<std::string> warnings(const io::Plane& plane, const images::CandidateAxis& axis, bool network);

// Throws ArgumentError, FileError and Cancelled, also as check_cut(), require_cut() and prepare() do.
Peaks pick(const io::Plane& plane, const Scorer& scorer, Channels& channels, const Options& options);

// Without top and min_score all images are picked.
Peaks score_images(const ImageStack& stack, const Scorer& scorer, const Options& options);

}  // namespace imn::pick
