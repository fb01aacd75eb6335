// The device loop's backend on a CUDA device: three streams, events, and the stages' kernels.
#include <cuda_runtime_api.h>
#include <algorithm>

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/cuda/buffer.h"
#include "core/cuda/stream.h"
#include "core/device.h"
#include "images/bin_cuda.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/views.h"
#include "preprocess/preprocess_cuda.h"
#include "score/statistics_cuda.h"

namespace imn::pipeline {
namespace {

class CudaBackend final : public DeviceBackend {
 public:
  explicit CudaBackend(int index) : index_(index) {
    const cuda::DeviceScope scope(index_);
    copy_.emplace();
    // Its thread blocks have priority: they are few, and uploads wait for them, while the network lags by batches.
    prepare_.emplace(cuda::Stream::urgent());
    score_.emplace();
  }

  ~CudaBackend() override {
    // Memory that a kernel still writes to must not be freed. Errors were thrown before, or there is nobody to catch
    // them.
    (void)wait_for_all();
  }

  std::string device() const override { return "cuda:" + std::to_string(index_); }

  std::int64_t free_bytes() const override {
    const cuda::DeviceScope scope(index_);
    std::size_t free = 0;
    std::size_t all = 0;
    cuda::check(cudaMemGetInfo(&free, &all), "cudaMemGetInfo");
    return static_cast<std::int64_t>(free);
  }

  void* allocate(std::int64_t bytes) override {
    const cuda::DeviceScope scope(index_);
    cuda::DeviceBuffer<std::byte> buffer(static_cast<std::size_t>(bytes));
    if (bytes > 0) {
      cuda::check(cudaMemsetAsync(buffer.data(), 0, buffer.bytes(), prepare_->get()), "cudaMemsetAsync");
      prepare_->synchronize();
    }
    memory_.push_back(std::move(buffer));
    return memory_.back().data();
  }

  void* allocate_pinned(std::int64_t bytes) override {
    const cuda::DeviceScope scope(index_);
    pinned_.emplace_back(static_cast<std::size_t>(bytes));
    return pinned_.back().data();
  }

  std::int64_t allocated_bytes() const override {
    std::int64_t bytes = 0;
    for (const auto& buffer : memory_) bytes += static_cast<std::int64_t>(buffer.bytes());
    return bytes;
  }

  Event make_event() override {
    const cuda::DeviceScope scope(index_);
    events_.emplace_back();
    return events_.size() - 1;
  }
  void record(Event event, Queue queue) override {
    const cuda::DeviceScope scope(index_);
    events_[event].record(of(queue).get());
  }
  void wait(Queue queue, Event event) override {
    const cuda::DeviceScope scope(index_);
    of(queue).wait_for(events_[event]);
  }
  // Called often; an event knows its device, so no scope is needed.
  bool reached(Event event) const override { return events_[event].done(); }
  void finish() override {
    const cuda::DeviceScope scope(index_);
    cuda::check(wait_for_all(), "cudaStreamSynchronize");
  }

  double seconds(const std::function<void()>& task) override {
    const cuda::DeviceScope scope(index_);
    finish();
    cuda::Event begin = cuda::Event::timed();
    cuda::Event end = cuda::Event::timed();
    cuda::Event prepared;
    begin.record(score_->get());
    prepare_->wait_for(begin);
    task();
    prepared.record(prepare_->get());
    score_->wait_for(prepared);
    end.record(score_->get());
    end.wait();
    return static_cast<double>(cuda::Event::elapsed_ms(begin, end)) / 1000.0;
  }

  void upload(void* to, const void* from, std::int64_t bytes) override { copy_in(*copy_, to, from, bytes); }
  void download(void* to, const void* from, std::int64_t bytes) override { copy_in(*score_, to, from, bytes); }
  void copy(void* to, const void* from, std::int64_t bytes) override { copy_in(*prepare_, to, from, bytes); }
  void zero(void* to, std::int64_t bytes) override {
    const cuda::DeviceScope scope(index_);
    cuda::check(cudaMemsetAsync(to, 0, static_cast<std::size_t>(bytes), prepare_->get()), "cudaMemsetAsync");
  }

  void set_windows(const images::WindowPlan& windows) override {
    const cuda::DeviceScope scope(index_);
    windows_ = &windows;
    on_device_.emplace(windows, prepare_->get());
  }

  void set_factors(std::span<const double> factors) override {
    const cuda::DeviceScope scope(index_);
    factors_on_device_.reset();
    if (!factors.empty()) factors_on_device_.emplace(cuda::upload(factors, prepare_->get()));
    factors_ = factors.empty() ? nullptr : factors_on_device_->data();
  }

  void bin(std::span<const ChunkOnDevice> chunks, images::WindowStrip strip, float* images,
           std::int64_t pixels) override {
    const cuda::DeviceScope scope(index_);
    const images::PlanView& plan = on_device_->view();
    const images::ImagesView out{images, pixels, factors_};
    cudaStream_t stream = prepare_->get();
    with_chunk_views(
        chunks, *windows_, strip,
        [&](const auto& views) { images::bin_continuous_cuda(plan, strip, std::span(views), nullptr, out, stream); },
        [&](const auto& views) { images::bin_processed_cuda(plan, strip, std::span(views), out, stream); });
  }

  std::int64_t setup_bytes(const PrepareSetup& setup) const override {
    if (setup.statistics.empty()) return 0;
    const cuda::DeviceScope scope(index_);
    return mask_facts_bytes(setup) + scratch_bytes(setup) + all_bytes(setup);
  }

  void set_up(const PrepareSetup& setup) override {
    setup_ = setup;
    if (setup.statistics.empty()) return;
    mask_facts_ = allocate(mask_facts_bytes(setup));
    scratch_ = allocate(scratch_bytes(setup));
    all_statistics_ = static_cast<float*>(allocate(all_bytes(setup)));
    const cuda::DeviceScope scope(index_);
    score::prepare_mask_cuda(setup.mask, setup.height, setup.width, mask_facts_, prepare_->get());
  }

  void prepare(const float* images, std::int64_t n, void* input, preprocess::ImageFacts* facts,
               float* statistics) override {
    const cuda::DeviceScope scope(index_);
    const ImageStack stack{images, n, setup_.height, setup_.width, setup_.mask};
    preprocess::preprocess_cuda({stack, setup_.id, setup_.type, input, facts, setup_.tables}, prepare_->get());
    if (statistics == nullptr) return;
    const bool same_quantile = setup_.id.mask;
    score::StatisticsCall call;
    call.images = stack;
    call.facts = same_quantile ? facts : nullptr;
    call.mask_facts = mask_facts_;
    call.scratch = scratch_;
    call.out = all_statistics_;
    call.roots = uses_root(setup_);
    score::statistics_cuda(call, prepare_->get());
    // Column by column, in the order of the network: a few thousand bytes.
    const std::size_t width = setup_.statistics.size() * sizeof(float);
    for (std::size_t k = 0; k < setup_.statistics.size(); ++k) {
      cuda::check(
          cudaMemcpy2DAsync(statistics + k, width, all_statistics_ + static_cast<std::size_t>(setup_.statistics[k]),
                            score::kStatistics * sizeof(float), sizeof(float), static_cast<std::size_t>(n),
                            cudaMemcpyDeviceToDevice, prepare_->get()),
          "cudaMemcpy2DAsync");
    }
  }

  void score(const score::DeviceNetwork& network, const void* input, const float* statistics, float* outputs) override {
    const cuda::DeviceScope scope(index_);
    network.enqueue(input, statistics, outputs, score_->get());
  }

 private:
  static std::int64_t mask_facts_bytes(const PrepareSetup& setup) {
    return aligned(static_cast<std::int64_t>(score::mask_facts_bytes(setup.height, setup.width)));
  }
  static std::int64_t scratch_bytes(const PrepareSetup& setup) {
    return aligned(static_cast<std::int64_t>(
        score::statistics_scratch_bytes(setup.max_images, setup.height, setup.width, uses_root(setup))));
  }
  static bool uses_root(const PrepareSetup& setup) {
    return std::any_of(setup.statistics.begin(), setup.statistics.end(), score::uses_root);
  }
  static std::int64_t all_bytes(const PrepareSetup& setup) {
    return aligned(setup.max_images * score::kStatistics * static_cast<std::int64_t>(sizeof(float)));
  }

  // Waits for all streams. Returns the error of the first one that failed.
  cudaError_t wait_for_all() const {
    cudaError_t state = cudaSuccess;
    for (const auto* stream : {&copy_, &prepare_, &score_}) {
      const cudaError_t found = cudaStreamSynchronize((*stream)->get());
      if (state == cudaSuccess) state = found;
    }
    return state;
  }
  cuda::Stream& of(Queue queue) {
    return queue == Queue::copy ? *copy_ : queue == Queue::prepare ? *prepare_ : *score_;
  }
  void copy_in(const cuda::Stream& stream, void* to, const void* from, std::int64_t bytes) const {
    const cuda::DeviceScope scope(index_);
    cuda::copy_async(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), static_cast<std::size_t>(bytes),
                     stream.get());
  }

  int index_;
  std::optional<cuda::Stream> copy_, prepare_, score_;  // made with the device current
  std::vector<cuda::DeviceBuffer<std::byte>> memory_;
  std::vector<cuda::PinnedBuffer<std::byte>> pinned_;
  std::vector<cuda::Event> events_;
  const images::WindowPlan* windows_ = nullptr;
  std::optional<images::DeviceWindowPlan> on_device_;
  std::optional<cuda::DeviceBuffer<double>> factors_on_device_;
  const double* factors_ = nullptr;
  PrepareSetup setup_;
  void* mask_facts_ = nullptr;
  void* scratch_ = nullptr;
  float* all_statistics_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceBackend> make_cuda_backend(int device) {
  choose_device("cuda:" + std::to_string(device), device_status());  // throws if it cannot be used
  return std::make_unique<CudaBackend>(device);
}

}  // namespace imn::pipeline
