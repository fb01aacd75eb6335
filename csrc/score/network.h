// Network: maps preprocessed images to outputs, fed asynchronously.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace imn::score {

struct NetworkInfo {
  std::string name;       // "openvino", "callback"
  std::string device;     // "cpu"
  std::string precision;  // "f32", "bf16": as used
  std::int32_t channels = 1;
  std::int32_t height = 0;
  std::int32_t width = 0;
  std::int32_t n_outputs = 0;     // values per image
  std::int32_t batch = 1;         // images per slot
  std::int32_t n_statistics = 0;  // values per image of the second input; 0: no second input
};

// Usage: acquire() a slot, write up to `batch` images to input(slot) and, if the network has a second input, their
// statistics to statistics(slot), then submit(). Results arrive in any order at the addresses given to submit();
// drain() returns once all have arrived. One thread feeds the network; the work runs in other threads.
class Network {
 public:
  virtual ~Network() = default;
  virtual const NetworkInfo& info() const = 0;
  // Blocks until a slot is free. Rethrows the first error of an earlier batch.
  virtual int acquire() = 0;
  // (batch, channels, height, width) float32, writable between acquire() and submit().
  virtual float* input(int slot) = 0;
  // (batch, n_statistics) float32, writable as input() is; null where n_statistics is 0.
  virtual float* statistics(int slot) = 0;
  // n <= batch images are ready; their (n, n_outputs) results go to `out`, which must live until drain().
  virtual void submit(int slot, std::int64_t n, float* out) = 0;
  virtual void drain() = 0;
  // Gives an acquired slot back without scoring it.
  virtual void release(int slot) = 0;
};

enum class Precision { automatic, f32, bf16 };

struct OpenVinoOptions {
  Precision precision = Precision::automatic;  // automatic: bf16 if the CPU computes in it, else f32
  int threads = 0;                             // 0: all
  std::optional<int> batch;                    // images scored at a time; none: chosen by the scorer
};

// Whether this build includes OpenVINO, and whether OpenVINO computes in bf16 on this CPU (false without OpenVINO).
bool has_openvino();
bool cpu_has_bf16();

// model.onnx, or a quantised model.int8.xml, with one input (N, C, H, W) and one output (N, K), N dynamic. If there is
// a second input, the two are named "image" and "statistics", the latter (N, F). Throws FileError if the model cannot
// be used.
std::unique_ptr<Network> make_openvino_network(const std::string& path, const OpenVinoOptions& options);

// Calls `call(input, statistics, n, out)` synchronously in submit(): input (n, C, H, W), statistics (n, F) or null
// where info.n_statistics is 0, out (n, K).
using ScoreCallback = std::function<void(const float* input, const float* statistics, std::int64_t n, float* out)>;
std::unique_ptr<Network> make_callback_network(const NetworkInfo& info, ScoreCallback call);

}  // namespace imn::score
