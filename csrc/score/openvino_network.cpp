#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "score/network.h"
#include "score/openvino_model.h"

namespace imn::score {
namespace {

// A slot is one infer request; the caller fills its tensors in place.
struct Slot {
  ov::InferRequest request;
  float* input = nullptr;
  float* statistics = nullptr;
  const float* output = nullptr;
  std::int64_t n = 0;
  float* out = nullptr;
};

class OpenVinoNetwork final : public Network {
 public:
  explicit OpenVinoNetwork(CompiledModel model) : model_(std::move(model)) {
    // Twice as many slots as streams, so the next batches are filled while every stream computes.
    slots_.resize(static_cast<std::size_t>(2 * model_.streams));
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      slot.request = model_.network.create_infer_request();
      slot.input = zeroed_input(slot, model_.image_input);
      if (model_.info.n_statistics > 0) slot.statistics = zeroed_input(slot, model_.statistics_input);
      slot.output = slot.request.get_output_tensor().data<const float>();
      slot.request.set_callback([this, i](std::exception_ptr error) { finished(i, std::move(error)); });
      free_.push_back(static_cast<int>(i));
    }
  }

  ~OpenVinoNetwork() override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return in_flight_ == 0; });
    lock.unlock();
    for (Slot& slot : slots_) leave_callback(slot);
  }

  const NetworkInfo& info() const override { return model_.info; }

  int acquire() override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return error_ != nullptr || !free_.empty() || in_flight_ == 0; });
    rethrow_error();
    if (free_.empty()) throw ArgumentError("every slot of the network has been acquired and none submitted");
    const int index = free_.back();
    free_.pop_back();
    lock.unlock();
    leave_callback(slot(index));
    return index;
  }

  float* input(int index) override { return slot(index).input; }
  float* statistics(int index) override { return slot(index).statistics; }

  void submit(int index, std::int64_t n, float* out) override {
    if (n < 1 || n > model_.info.batch) throw ArgumentError("a slot holds 1 to `batch` images");
    Slot& s = slot(index);
    s.n = n;
    s.out = out;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++in_flight_;
    }
    try {
      s.request.start_async();
    } catch (...) {
      finished(static_cast<std::size_t>(index), std::current_exception());
    }
  }

  void drain() override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return in_flight_ == 0; });
    rethrow_error();
  }

  void release(int index) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(index);
  }

 private:
  Slot& slot(int index) { return slots_.at(static_cast<std::size_t>(index)); }

  // Zeroed, because the unused tail of a short first batch is computed too.
  static float* zeroed_input(Slot& s, std::size_t port) {
    ov::Tensor input = s.request.get_input_tensor(port);
    std::memset(input.data<float>(), 0, input.get_byte_size());
    return input.data<float>();
  }

  // Runs in an OpenVINO thread.
  void finished(std::size_t index, std::exception_ptr error) {
    const Slot& s = slots_[index];
    if (!error) std::copy_n(s.output, s.n * model_.info.n_outputs, s.out);
    // Notified under the lock, because otherwise the destructor could finish before this thread touches changed_.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error && !error_) error_ = std::move(error);
    free_.push_back(static_cast<int>(index));
    --in_flight_;
    changed_.notify_all();
  }

  // The callback marks the slot as free shortly before OpenVINO leaves the request; a request started in between would
  // lose its callback.
  static void leave_callback(Slot& s) {
    try {
      s.request.wait();
    } catch (...) {  // the callback has already received this error
    }
  }

  // Call with mutex_ held. Reports every error once.
  void rethrow_error() {
    if (!error_) return;
    const std::exception_ptr error = std::exchange(error_, nullptr);
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      throw Error("OpenVINO inference failed: " + cause_of(e));
    }
  }

  CompiledModel model_;
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> free_;
  std::int64_t in_flight_ = 0;
  std::exception_ptr error_;
};

}  // namespace

std::unique_ptr<Network> make_openvino_network(const std::string& path, const OpenVinoOptions& options) {
  return std::make_unique<OpenVinoNetwork>(compile_network(path, options));
}

}  // namespace imn::score
