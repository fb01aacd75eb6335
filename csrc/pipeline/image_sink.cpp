#include "pipeline/image_sink.h"

#include <algorithm>
#include <utility>

#include "core/stopwatch.h"

namespace imn::pipeline {
namespace {

class ModelSink final : public ImageSink {
 public:
  ModelSink(score::Scorer& scorer, preprocess::PreprocessId id)
      : scorer_(scorer),
        id_(id),
        image_floats_(std::int64_t{preprocess::channels(id)} * preprocess::kInputSize * preprocess::kInputSize) {}

  std::int32_t n_outputs() const override { return scorer_.info().n_outputs; }

  void consume(const ImageStack& stack, float* out, const std::function<void(std::int64_t)>& advance) override {
    std::int64_t taken = 0;
    while (taken < stack.n) {
      if (slot_ < 0) {
        const Stopwatch waiting;
        slot_ = scorer_.acquire();
        score_s_ += waiting.seconds();
        slot_out_ = out + taken * n_outputs();
      }
      const std::int64_t n = std::min(stack.n - taken, scorer_.info().batch - filled_);
      ImageStack part = stack;
      part.data = stack.image(taken);
      part.n = n;
      const Stopwatch working;
      // One thread: the scorer owns the other cores, and a batch is small.
      preprocess::preprocess(part, id_, 1, scorer_.input(slot_) + filled_ * image_floats_);
      preprocess_s_ += working.seconds();
      filled_ += n;
      taken += n;
      if (filled_ == scorer_.info().batch) submit();
      advance(n);
    }
  }

  void finish() override {
    if (filled_ > 0) submit();
    const Stopwatch waiting;
    scorer_.drain();
    score_s_ += waiting.seconds();
  }

  void abandon() noexcept override {
    try {
      if (slot_ >= 0) scorer_.release(std::exchange(slot_, -1));
      filled_ = 0;
      scorer_.drain();
    } catch (...) {  // an earlier exception is on its way; this one adds nothing
    }
  }

  void report(Timings& timings) const override {
    timings.preprocess_s += preprocess_s_;
    timings.score_s += score_s_;
  }

 private:
  void submit() {
    const int slot = std::exchange(slot_, -1);
    const Stopwatch working;  // a synchronous scorer computes here
    scorer_.submit(slot, std::exchange(filled_, 0), slot_out_);
    score_s_ += working.seconds();
  }

  score::Scorer& scorer_;
  preprocess::PreprocessId id_;
  std::int64_t image_floats_;
  int slot_ = -1;  // stays open across strips, so that only the very last batch is partly filled
  std::int64_t filled_ = 0;
  float* slot_out_ = nullptr;
  double preprocess_s_ = 0;
  double score_s_ = 0;
};

class ClassicalSink final : public ImageSink {
 public:
  ClassicalSink(ClassicalScore score, int threads) : score_(std::move(score)), threads_(threads) {}

  std::int32_t n_outputs() const override { return 1; }

  void consume(const ImageStack& stack, float* out, const std::function<void(std::int64_t)>& advance) override {
    constexpr std::int64_t kImagesPerCall = 256;  // often enough for progress and cancel
    for (std::int64_t first = 0; first < stack.n; first += kImagesPerCall) {
      ImageStack part = stack;
      part.data = stack.image(first);
      part.n = std::min(kImagesPerCall, stack.n - first);
      const Stopwatch working;
      score_(part, threads_, out + first);
      score_s_ += working.seconds();
      advance(part.n);
    }
  }

  void finish() override {}
  void abandon() noexcept override {}

  void report(Timings& timings) const override { timings.score_s += score_s_; }

 private:
  ClassicalScore score_;
  int threads_;
  double score_s_ = 0;
};

}  // namespace

std::unique_ptr<ImageSink> make_model_sink(score::Scorer& scorer, preprocess::PreprocessId id) {
  return std::make_unique<ModelSink>(scorer, id);
}

std::unique_ptr<ImageSink> make_classical_sink(ClassicalScore score, int threads) {
  return std::make_unique<ClassicalSink>(std::move(score), threads);
}

}  // namespace imn::pipeline
