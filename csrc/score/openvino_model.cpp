#include "score/openvino_model.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <openvino/frontend/manager.hpp>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"

namespace imn::score {
namespace {

// Note [batch]: a fixed batch is 15-20 % faster than a dynamic one, so the tail of the last batch is computed for
// nothing. Two images per batch and one stream per core were as fast as 4 and 8 (ConvNeXt V2 Atto at 224, two Zen 4
// cores, bf16 and f32), and faster than 1 and 16; the smaller batch wastes less at the tail.
constexpr int kBatch = 2;

std::filesystem::path checked_path(const std::string& path) {
  const std::filesystem::path file(std::u8string(path.begin(), path.end()));
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (!std::filesystem::exists(status)) throw FileError(path, "no such file");
  if (!std::filesystem::is_regular_file(status)) throw FileError(path, "is not a file");
  return file;
}

std::shared_ptr<ov::Model> read_onnx(const std::string& path) {
  const std::filesystem::path file = checked_path(path);
  try {
    // Core::read_model would offer a damaged file to the readers of every other format, and those print.
    const ov::frontend::FrontEnd::Ptr reader = ov::frontend::FrontEndManager().load_by_framework("onnx");
    return reader->convert(reader->load(file));
  } catch (const std::exception& error) {
    throw FileError(path, "cannot be read as an ONNX model: " + cause_of(error));
  }
}

void check_signature(const std::string& path, const ov::Model& model) {
  if (model.inputs().size() != 1 || model.outputs().size() != 1) {
    throw FileError(path, "the model must have one input and one output, it has " +
                              std::to_string(model.inputs().size()) + " and " + std::to_string(model.outputs().size()));
  }
  const ov::PartialShape shape = model.input().get_partial_shape();
  if (shape.rank().is_dynamic() || shape.size() != 4 || shape[1].is_dynamic() || shape[2].is_dynamic() ||
      shape[3].is_dynamic()) {
    throw FileError(
        path, "the model's input must have shape (N, C, H, W) with fixed C, H and W, it has " + shape.to_string());
  }
  if (model.input().get_element_type() != ov::element::f32 || model.output().get_element_type() != ov::element::f32) {
    throw FileError(path, "the model's input and output must be float32");
  }
}

// Fixes the batch, and checks that the output follows it.
void set_batch(const std::string& path, ov::Model& model, int batch) {
  ov::PartialShape shape = model.input().get_partial_shape();
  shape[0] = batch;
  try {
    model.reshape(shape);
  } catch (const std::exception& error) {
    throw FileError(path, "the model does not accept a batch of " + std::to_string(batch) + ": " + cause_of(error));
  }
  const ov::PartialShape out = model.output().get_partial_shape();
  if (out.is_dynamic() || out.size() != 2 || out[0].get_length() != batch || out[1].get_length() < 1) {
    throw FileError(path, "the model's output must have shape (N, K), it has " + out.to_string() +
                              " for N = " + std::to_string(batch));
  }
}

ov::element::Type precision_type(const std::string& precision) {
  if (precision == "f32") return ov::element::f32;
  if (precision == "auto") return cpu_has_bf16() ? ov::element::bf16 : ov::element::f32;
  if (precision != "bf16") throw ArgumentError("unknown precision '" + precision + "'; known: auto, f32, bf16");
  if (!cpu_has_bf16()) throw UnavailableError("this CPU does not compute in bf16; use precision 'f32' or 'auto'");
  return ov::element::bf16;
}

}  // namespace

// OpenVINO's messages carry source lines and several paragraphs; the last line with text is the cause.
std::string cause_of(const std::exception& error) {
  std::string text = error.what();
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  const std::size_t line = text.find_last_of('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

ov::Core& openvino_core() {
  // Never destroyed: at exit the plugins' own globals may be gone before ours.
  static auto* const core = new ov::Core();
  return *core;
}

bool has_openvino() { return true; }

bool cpu_has_bf16() {
  const auto found = openvino_core().get_property("CPU", ov::device::capabilities);
  return std::find(found.begin(), found.end(), ov::device::capability::BF16) != found.end();
}

CompiledModel compile_onnx(const std::string& path, const OpenVinoOptions& options) {
  if (options.batch < 0) throw ArgumentError("batch must not be negative");
  const ov::element::Type precision = precision_type(options.precision);
  const int threads = thread_count(options.threads);
  const int batch = options.batch > 0 ? options.batch : kBatch;
  const std::shared_ptr<ov::Model> model = read_onnx(path);
  check_signature(path, *model);
  set_batch(path, *model, batch);

  CompiledModel compiled;
  try {
    // One stream per thread: images are independent, so no core ever waits for another. No pinning: the threads that
    // feed share the cores.
    compiled.network =
        openvino_core().compile_model(model, "CPU", ov::hint::performance_mode(ov::hint::PerformanceMode::THROUGHPUT),
                                      ov::num_streams(threads), ov::inference_num_threads(threads),
                                      ov::hint::inference_precision(precision), ov::hint::enable_cpu_pinning(false));
  } catch (const std::exception& error) {
    throw FileError(path, "OpenVINO cannot run this model: " + cause_of(error));
  }
  compiled.streams = std::max(1, static_cast<int>(compiled.network.get_property(ov::num_streams).num));

  ScorerInfo& info = compiled.info;
  info.name = "openvino";
  info.device = "cpu";
  info.precision = compiled.network.get_property(ov::hint::inference_precision).to_string();
  const ov::Shape in = compiled.network.input().get_shape();
  info.batch = static_cast<std::int32_t>(in[0]);
  info.channels = static_cast<std::int32_t>(in[1]);
  info.height = static_cast<std::int32_t>(in[2]);
  info.width = static_cast<std::int32_t>(in[3]);
  info.n_outputs = static_cast<std::int32_t>(compiled.network.output().get_shape()[1]);
  return compiled;
}

}  // namespace imn::score
