#include "score/openvino_model.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <openvino/frontend/manager.hpp>
#include <optional>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"

namespace imn::score {
namespace {

// Note [batch]: a fixed batch is 15-20 % faster than a dynamic one, although the unused tail of the last batch is
// computed. Two images per batch and one stream per core were as fast as 4 and 8 (ConvNeXt V2 Atto at 224, two Zen 4
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

std::shared_ptr<ov::Model> read_network(const std::string& path) {
  const std::filesystem::path file = checked_path(path);
  const bool is_ir = file.extension() == ".xml";
  try {
    // Core::read_model would pass a damaged file to the readers of all other formats, and those print.
    const ov::frontend::FrontEnd::Ptr reader = ov::frontend::FrontEndManager().load_by_framework(is_ir ? "ir" : "onnx");
    return reader->convert(reader->load(file));
  } catch (const std::exception& error) {
    throw FileError(
        path, std::string("cannot be read as ") + (is_ir ? "a quantised" : "an ONNX") + " model: " + cause_of(error));
  }
}

// The inputs by role.
struct Inputs {
  std::size_t image = 0;
  std::optional<std::size_t> statistics;
};

// "image [?,1,224,224], statistics [?,4]"
std::string list_inputs(const ov::Model& model) {
  std::string text;
  for (const auto& input : model.inputs()) {
    if (!text.empty()) text += ", ";
    text += input.get_any_name() + " " + input.get_partial_shape().to_string();
  }
  return text;
}

bool is_called(const ov::Output<const ov::Node>& port, const std::string& name) {
  return port.get_names().count(name) > 0;
}

// Returns whether the shape has this many axes, all fixed except the first, which is the batch.
bool has_axes(const ov::PartialShape& shape, std::size_t axes) {
  return shape.rank().is_static() && shape.size() == axes &&
         std::all_of(shape.begin() + 1, shape.end(),
                     [](const ov::Dimension& d) { return d.is_static() && d.get_length() > 0; });
}

Inputs find_inputs(const std::string& path, const ov::Model& model) {
  const auto ports = model.inputs();
  Inputs found;
  if (ports.size() == 2) {
    // Inputs are identified by name, because their shapes alone are ambiguous.
    found.image = is_called(ports[0], "image") ? 0 : 1;
    found.statistics = 1 - found.image;
  }
  const bool named = !found.statistics ||
                     (is_called(ports[found.image], "image") && is_called(ports[*found.statistics], "statistics"));
  if (ports.empty() || ports.size() > 2 || !named || model.outputs().size() != 1) {
    throw FileError(path,
                    "the model must have one input, or two called 'image' and 'statistics', and one output; it has " +
                        std::to_string(model.outputs().size()) + " output(s) and the input(s) " + list_inputs(model));
  }
  return found;
}

Inputs check_signature(const std::string& path, const ov::Model& model) {
  const Inputs inputs = find_inputs(path, model);
  const ov::PartialShape image = model.input(inputs.image).get_partial_shape();
  if (!has_axes(image, 4)) {
    throw FileError(path, "the model's image input must have shape (N, C, H, W) with fixed C, H and W, it has " +
                              image.to_string());
  }
  if (inputs.statistics) {
    const ov::PartialShape statistics = model.input(*inputs.statistics).get_partial_shape();
    if (!has_axes(statistics, 2)) {
      throw FileError(
          path, "the model's input 'statistics' must have shape (N, F) with fixed F, it has " + statistics.to_string());
    }
  }
  const auto is_float = [](const auto& port) { return port.get_element_type() == ov::element::f32; };
  const auto ports = model.inputs();
  if (!std::all_of(ports.begin(), ports.end(), is_float) || !is_float(model.output())) {
    throw FileError(path, "the model's inputs and output must be float32");
  }
  return inputs;
}

// Fixes the batch and checks that the output follows it.
void set_batch(const std::string& path, ov::Model& model, int batch) {
  std::map<std::size_t, ov::PartialShape> shapes;
  for (std::size_t i = 0; i < model.inputs().size(); ++i) {
    shapes[i] = model.input(i).get_partial_shape();
    shapes[i][0] = batch;
  }
  try {
    model.reshape(shapes);
  } catch (const std::exception& error) {
    throw FileError(path, "the model does not accept a batch of " + std::to_string(batch) + ": " + cause_of(error));
  }
  const ov::PartialShape out = model.output().get_partial_shape();
  if (out.is_dynamic() || out.size() != 2 || out[0].get_length() != batch || out[1].get_length() < 1) {
    throw FileError(path, "the model's output must have shape (N, K), it has " + out.to_string() +
                              " for N = " + std::to_string(batch));
  }
}

ov::element::Type element_type(Precision precision) {
  if (precision == Precision::f32) return ov::element::f32;
  if (precision == Precision::automatic) return cpu_has_bf16() ? ov::element::bf16 : ov::element::f32;
  if (!cpu_has_bf16()) throw UnavailableError("this CPU does not compute in bf16; use precision 'f32' or 'auto'");
  return ov::element::bf16;
}

}  // namespace

// OpenVINO's messages contain source lines and several paragraphs; the last line with text is the cause.
std::string cause_of(const std::exception& error) {
  std::string text = error.what();
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  const std::size_t line = text.find_last_of('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

ov::Core& openvino_core() {
  // Never destroyed, because at exit the plugins' globals may already be gone.
  static auto* const core = new ov::Core();
  return *core;
}

bool has_openvino() { return true; }

bool cpu_has_bf16() {
  const auto found = openvino_core().get_property("CPU", ov::device::capabilities);
  return std::find(found.begin(), found.end(), ov::device::capability::BF16) != found.end();
}

CompiledModel compile_network(const std::string& path, const OpenVinoOptions& options) {
  if (options.batch && *options.batch < 1) throw ArgumentError("batch must be at least 1");
  const ov::element::Type precision = element_type(options.precision);
  const int threads = thread_count(options.threads);
  const int batch = options.batch.value_or(kBatch);
  const std::shared_ptr<ov::Model> model = read_network(path);
  const Inputs inputs = check_signature(path, *model);
  set_batch(path, *model, batch);

  CompiledModel compiled;
  try {
    // One stream per thread: images are independent, so no core waits for another. No pinning, because the threads that
    // feed the network share the cores.
    compiled.network =
        openvino_core().compile_model(model, "CPU", ov::hint::performance_mode(ov::hint::PerformanceMode::THROUGHPUT),
                                      ov::num_streams(threads), ov::inference_num_threads(threads),
                                      ov::hint::inference_precision(precision), ov::hint::enable_cpu_pinning(false));
  } catch (const std::exception& error) {
    throw FileError(path, "OpenVINO cannot run this model: " + cause_of(error));
  }
  compiled.streams = std::max(1, static_cast<int>(compiled.network.get_property(ov::num_streams).num));

  NetworkInfo& info = compiled.info;
  info.name = "openvino";
  info.device = "cpu";
  info.precision = compiled.network.get_property(ov::hint::inference_precision).to_string();
  compiled.image_input = inputs.image;
  if (inputs.statistics) {
    compiled.statistics_input = *inputs.statistics;
    info.n_statistics = static_cast<std::int32_t>(compiled.network.input(*inputs.statistics).get_shape()[1]);
  }
  const ov::Shape in = compiled.network.input(inputs.image).get_shape();
  info.batch = static_cast<std::int32_t>(in[0]);
  info.channels = static_cast<std::int32_t>(in[1]);
  info.height = static_cast<std::int32_t>(in[2]);
  info.width = static_cast<std::int32_t>(in[3]);
  info.n_outputs = static_cast<std::int32_t>(compiled.network.output().get_shape()[1]);
  return compiled;
}

}  // namespace imn::score
