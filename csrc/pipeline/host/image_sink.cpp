#include "pipeline/host/image_sink.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/stopwatch.h"
#include "preprocess/blank.h"

namespace imn::pipeline {
namespace {

class ModelSink final : public ImageSink {
 public:
  ModelSink(score::Network& network, const preprocess::PreprocessId& id, std::vector<score::Statistic> statistics,
            const std::optional<score::Cascade>& cascade, int threads)
      : network_(network), id_(id), statistics_(std::move(statistics)), cascade_(cascade), threads_(threads) {
    if (static_cast<std::size_t>(network.info().n_statistics) != statistics_.size()) {
      throw ArgumentError("the network expects " + std::to_string(network.info().n_statistics) +
                          " statistics per image, not " + std::to_string(statistics_.size()));
    }
    if (cascade_) score::check_cascade(*cascade_);
  }

  std::int32_t n_outputs() const override { return network_.info().n_outputs; }

  void begin(const Results& results) override {
    if (cascade_ && results.reach.size() != results.blank.size()) {
      throw ArgumentError("results must hold one reach per image");
    }
    results_ = results;
    preprocessor_.reset();
  }

  void consume(const ImageStack& stack, const std::function<void(std::int64_t)>& advance) override {
    if (!preprocessor_) preprocessor_.emplace(stack, id_);
    // Without a cascade, as many as fit into the open slot.
    for (std::int64_t done = 0; done < stack.n;) {
      const std::int64_t most = cascade_ ? kSifted : network_.info().batch - filled_;
      const std::int64_t n = std::min(stack.n - done, most);
      sift(part(stack, done, n));
      for (std::int64_t i = 0; i < n;) {
        std::int64_t end = i;
        while (end < n && !passed_over(taken_ + end) && filled_ + (end - i) < network_.info().batch) ++end;
        if (end > i) fill(part(stack, done + i, end - i));
        if (filled_ == network_.info().batch) submit();
        i = end;
        while (i < n && passed_over(taken_ + i)) ++i;
      }
      done += n;
      taken_ += n;
      advance(n);
    }
  }

  void finish() override {
    if (filled_ > 0) submit();
    const Stopwatch waiting;
    network_.drain();
    score_s_ += waiting.seconds();
    spread();
  }

  void abandon() noexcept override {
    try {
      if (slot_ >= 0) network_.release(std::exchange(slot_, -1));
      filled_ = 0;
      network_.drain();
    } catch (...) {  // the exception under way is the one to report
    }
  }

  void report(HostTimings& timings) const override {
    timings.preprocess_s += preprocess_s_;
    timings.statistics_s += statistics_s_;
    timings.cascade_s += cascade_s_;
    timings.score_s += score_s_;
  }

 private:
  // Images that go through the cascade at a time: enough for all threads, and few enough to stay in the cache.
  static constexpr std::int64_t kSifted = 64;

  bool passed_over(std::int64_t image) const {
    const auto i = static_cast<std::size_t>(image);
    return results_.blank[i] != 0 || (cascade_ && results_.reach[i] == results_.reach[i]);
  }

  // Finds the images that the network need not see. With a cascade, all threads work: they would otherwise wait for
  // images, because most are noise where a cascade saves time.
  void sift(const ImageStack& images) {
    const int threads = cascade_ ? threads_ : 1;
    const Stopwatch looking;
    preprocess::find_blank(images, id_.mask, threads, results_.blank.data() + taken_);
    preprocess_s_ += looking.seconds();
    if (!cascade_) return;
    const Stopwatch sifting;
    score::find_noise(images, *cascade_, threads, results_.reach.data() + taken_);
    cascade_s_ += sifting.seconds();
  }

  static ImageStack part(const ImageStack& stack, std::int64_t first, std::int64_t n) {
    ImageStack images = stack;
    images.data = stack.image(first);
    images.n = n;
    return images;
  }

  // `images` contains no image to pass over and fits into the open slot.
  void fill(const ImageStack& images) {
    if (slot_ < 0) {
      const Stopwatch waiting;
      slot_ = network_.acquire();
      score_s_ += waiting.seconds();
    }
    // One thread, because the network uses the other cores and a batch is small.
    const Stopwatch preprocessing;
    preprocessor_->run(images, 1, network_.input(slot_) + filled_ * id_.values());
    preprocess_s_ += preprocessing.seconds();
    if (!statistics_.empty()) {
      const Stopwatch computing;
      fill_statistics(images);
      statistics_s_ += computing.seconds();
    }
    filled_ += images.n;
  }

  void fill_statistics(const ImageStack& images) {
    float* out = network_.statistics(slot_) + filled_ * static_cast<std::int64_t>(statistics_.size());
    score::image_statistics(images, statistics_, 1, out);
  }

  // Results arrive without gaps, the k-th image scored in row k; spread() makes room for those passed over.
  void submit() {
    const int slot = std::exchange(slot_, -1);
    const std::int64_t n = std::exchange(filled_, 0);
    const Stopwatch working;  // a synchronous network computes here
    network_.submit(slot, n, results_.outputs.data() + submitted_ * n_outputs());
    score_s_ += working.seconds();
    submitted_ += n;
  }

  void spread() {
    const std::int64_t width = n_outputs();
    std::int64_t from = submitted_;
    // From the back, because rows only move backwards. Those before the first image passed over are in place.
    for (std::int64_t to = taken_ - 1; from <= to; --to) {
      float* row = results_.outputs.data() + to * width;
      if (passed_over(to)) {
        std::fill_n(row, width, 0.0F);
      } else {
        --from;
        std::copy_n(results_.outputs.data() + from * width, width, row);
      }
    }
  }

  score::Network& network_;
  preprocess::PreprocessId id_;
  std::vector<score::Statistic> statistics_;
  std::optional<score::Cascade> cascade_;
  int threads_;
  std::optional<preprocess::Preprocessor> preprocessor_;  // of the run under way
  Results results_;
  std::int64_t taken_ = 0;      // images, passed over or not
  std::int64_t submitted_ = 0;  // images that went to the network
  int slot_ = -1;               // stays open across strips, so that only the very last batch is partly filled
  std::int64_t filled_ = 0;
  double preprocess_s_ = 0;
  double statistics_s_ = 0;
  double cascade_s_ = 0;
  double score_s_ = 0;
};

class ClassicalSink final : public ImageSink {
 public:
  ClassicalSink(ClassicalScore score, int threads) : score_(std::move(score)), threads_(threads) {}

  std::int32_t n_outputs() const override { return 1; }

  void begin(const Results& results) override { results_ = results; }

  void consume(const ImageStack& stack, const std::function<void(std::int64_t)>& advance) override {
    constexpr std::int64_t kImagesPerCall = 256;  // often enough for progress and cancel
    for (std::int64_t first = 0; first < stack.n; first += kImagesPerCall) {
      ImageStack part = stack;
      part.data = stack.image(first);
      part.n = std::min(kImagesPerCall, stack.n - first);
      float* out = results_.outputs.data() + taken_;
      std::uint8_t* blank = results_.blank.data() + taken_;
      const Stopwatch working;
      score_(part, threads_, out);
      preprocess::find_blank(part, true, threads_, blank);
      for (std::int64_t i = 0; i < part.n; ++i) out[i] = blank[i] != 0 ? 0.0F : out[i];
      score_s_ += working.seconds();
      taken_ += part.n;
      advance(part.n);
    }
  }

  void finish() override {}
  void abandon() noexcept override {}

  void report(HostTimings& timings) const override { timings.score_s += score_s_; }

 private:
  ClassicalScore score_;
  int threads_;
  Results results_;
  std::int64_t taken_ = 0;
  double score_s_ = 0;
};

}  // namespace

std::unique_ptr<ImageSink> make_model_sink(score::Network& network, const preprocess::PreprocessId& id,
                                           std::vector<score::Statistic> statistics,
                                           const std::optional<score::Cascade>& cascade, int threads) {
  return std::make_unique<ModelSink>(network, id, std::move(statistics), cascade, threads);
}

std::unique_ptr<ImageSink> make_statistic_sink(score::Statistic statistic, int threads) {
  return make_classical_sink(
      [statistic](const ImageStack& stack, int n, float* out) {
        score::image_statistics(stack, std::span(&statistic, 1), n, out);
      },
      threads);
}

std::unique_ptr<ImageSink> make_classical_sink(ClassicalScore score, int threads) {
  return std::make_unique<ClassicalSink>(std::move(score), threads);
}

}  // namespace imn::pipeline
