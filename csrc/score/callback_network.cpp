#include <utility>
#include <vector>

#include "core/error.h"
#include "score/network.h"

namespace imn::score {
namespace {

// One slot is enough: submit() returns only after the callback has.
class CallbackNetwork final : public Network {
 public:
  CallbackNetwork(const NetworkInfo& info, ScoreCallback call) : info_(info), call_(std::move(call)) {
    const std::int64_t pixels = std::int64_t{info.channels} * info.height * info.width;
    input_.resize(static_cast<std::size_t>(info.batch * pixels));
    statistics_.resize(static_cast<std::size_t>(std::int64_t{info.batch} * info.n_statistics));
  }

  const NetworkInfo& info() const override { return info_; }
  int acquire() override { return 0; }
  float* input(int) override { return input_.data(); }
  float* statistics(int) override { return statistics_.empty() ? nullptr : statistics_.data(); }
  void submit(int slot, std::int64_t n, float* out) override { call_(input_.data(), statistics(slot), n, out); }
  void drain() override {}
  void release(int) override {}

 private:
  NetworkInfo info_;
  ScoreCallback call_;
  std::vector<float> input_;
  std::vector<float> statistics_;
};

}  // namespace

std::unique_ptr<Network> make_callback_network(const NetworkInfo& info, ScoreCallback call) {
  if (info.channels <= 0 || info.height <= 0 || info.width <= 0 || info.n_outputs <= 0 || info.batch <= 0) {
    throw ArgumentError("channels, height, width, n_outputs and batch of a callback network must be positive");
  }
  if (info.n_statistics < 0) throw ArgumentError("n_statistics of a callback network must not be negative");
  return std::make_unique<CallbackNetwork>(info, std::move(call));
}

}  // namespace imn::score
