// imn_engine_openvino: runs a network on the CPU with OpenVINO, through its C interface. The functions are looked up at
// run time, so neither headers nor libraries of OpenVINO are needed to build this. Element types are not passed,
// because OpenVINO renumbers them between versions.
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engines/plugin.h"

#ifdef _WIN32
#include <process.h>
#else
#include <unistd.h>
#endif

namespace imn::engines {
namespace {

// Two images per batch and one stream per core, as in score/openvino_model.cpp, see there.
constexpr int kBatch = 2;

// Structures of OpenVINO's C interface that are passed by value.
struct Dimension {
  std::int64_t min, max;
};
struct PartialShape {
  Dimension rank;
  Dimension* dims;
};
struct Shape {
  std::int64_t rank;
  std::int64_t* dims;
};

class Api {
 public:
  explicit Api(const SharedLibrary& library) : library_(&library) {}

  // Calls a function that returns a status; throws with OpenVINO's reason if it is not 0.
  template <typename... Arguments>
  void operator()(const char* name, Arguments... arguments) const {
    const int status = library_->function<int(Arguments...)>(name)(arguments...);
    if (status != 0) throw Error(std::string(name) + ": " + reason(status));
  }
  // The same for a function with a variable number of arguments, of which the first five are named.
  template <typename A, typename B, typename C, typename D, typename E, typename... More>
  void variadic(const char* name, A a, B b, C c, D d, E e, More... more) const {
    const int status = library_->function<int(A, B, C, D, E, ...)>(name)(a, b, c, d, e, more...);
    if (status != 0) throw Error(std::string(name) + ": " + reason(status));
  }
  void free(const char* name, void* what) const {
    if (what != nullptr) library_->function<void(void*)>(name)(what);
  }

 private:
  std::string reason(int status) const {
    const char* text = library_->function<const char*()>("ov_get_last_err_msg")();
    std::string found = text != nullptr ? text : "";
    while (!found.empty() && (found.back() == '\n' || found.back() == ' ')) found.pop_back();
    const std::size_t line = found.find_last_of('\n');  // the last line is the cause
    if (line != std::string::npos) found.erase(0, line + 1);
    return found.empty() ? "status " + std::to_string(status) : found;
  }

  const SharedLibrary* library_;
};

class Handle {
 public:
  Handle(const Api& api, const char* free) : api_(&api), free_(free) {}
  Handle(Handle&& other) noexcept
      : api_(other.api_), free_(other.free_), pointer_(std::exchange(other.pointer_, nullptr)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle& operator=(Handle&&) = delete;
  ~Handle() { api_->free(free_, pointer_); }
  void* get() const { return pointer_; }
  void** out() { return &pointer_; }

 private:
  const Api* api_;
  const char* free_;
  void* pointer_ = nullptr;
};

std::string text_property(const Api& api, const char* function, void* object, const char* key) {
  char* value = nullptr;
  api(function, object, key, &value);
  std::string text = value != nullptr ? value : "";
  api.free("ov_free", value);
  return text;
}

std::int64_t process_number() {
#ifdef _WIN32
  return ::_getpid();
#else
  return ::getpid();
#endif
}

struct Request {
  explicit Request(const Api& api) : handle(api, "ov_infer_request_free") {}
  Handle handle;
  float* image = nullptr;
  float* statistics = nullptr;
  const float* output = nullptr;
};

// The core of a library: one a process, made at first use, because loading OpenVINO's plugins takes a while, and never
// freed, because at exit their globals may already be gone. Throws UnavailableError in a child of fork() whose parent
// used OpenVINO.
void* core_of(const Api& api, const SharedLibrary& library) {
  static std::mutex mutex;
  static auto* const cores = new std::map<std::filesystem::path, void*>();
  static const std::int64_t process = process_number();
  if (process != process_number()) {
    throw UnavailableError(
        "OpenVINO was started before this process was forked and would hang here, waiting for threads of the parent; "
        "start it in children only, or start them as programs of their own (exec)");
  }
#ifdef __linux__
  if (!std::ifstream("/proc/cpuinfo").is_open()) {
    throw UnavailableError("OpenVINO looks for the CPU in /proc/cpuinfo without end, and it is not there; mount /proc");
  }
#endif
  const std::lock_guard lock(mutex);
  void*& core = (*cores)[library.path()];
  if (core == nullptr) api("ov_core_create", &core);
  return core;
}

class Engine {
 public:
  Engine(const imn_engine_request& request, const std::filesystem::path& plugin)
      : library_(engine_library(request.library_path, plugin, kStem, "openvino")),
        api_(library_),
        core_(core_of(api_, library_)),
        compiled_(api_, "ov_compiled_model_free"),
        batch_(request.batch > 0 ? request.batch : kBatch),
        image_size_(std::int64_t{request.channels} * request.height * request.width),
        n_statistics_(request.n_statistics),
        n_outputs_(request.n_outputs) {
    const std::string precision = wanted_precision(request);
    compile(request, precision);
    const std::string streams = text_property(api_, "ov_compiled_model_get_property", compiled_.get(), "NUM_STREAMS");
    parallel_ = std::max(1, std::atoi(streams.c_str()));
    precision_ = text_property(api_, "ov_compiled_model_get_property", compiled_.get(), "INFERENCE_PRECISION_HINT");
    requests_.reserve(static_cast<std::size_t>(parallel_));
    for (int i = 0; i < parallel_; ++i) free_.push_back(&add_request(request.network_path));
  }

  int parallel() const { return parallel_; }
  int batch() const { return batch_; }
  const std::string& precision() const { return precision_; }

  void score(const float* images, const float* statistics, float* outputs, std::int64_t n) {
    Request& request = acquire();
    try {
      std::copy_n(images, n * image_size_, request.image);
      if (n_statistics_ > 0) std::copy_n(statistics, n * n_statistics_, request.statistics);
      api_("ov_infer_request_infer", request.handle.get());
      std::copy_n(request.output, n * n_outputs_, outputs);
    } catch (...) {
      release(request);
      throw;
    }
    release(request);
  }

 private:
#ifdef _WIN32
  static constexpr const char* kStem = "openvino_c.dll";
#elif defined(__APPLE__)
  static constexpr const char* kStem = "libopenvino_c.";
#else
  static constexpr const char* kStem = "libopenvino_c.so";
#endif

  std::string wanted_precision(const imn_engine_request& request) const {
    const std::string_view wanted = precision_of(request);
    if (wanted == "f32" || wanted == "int8") return "f32";  // a quantised network states its own types
    const bool has_bf16 = text_property_of_cpu("OPTIMIZATION_CAPABILITIES").find("BF16") != std::string::npos;
    if (wanted == "auto") return has_bf16 ? "bf16" : "f32";
    if (wanted != "bf16") throw UnavailableError("OpenVINO has no precision '" + std::string(wanted) + "' here");
    if (!has_bf16) throw UnavailableError("this CPU does not compute in bf16; use precision f32 or auto");
    return "bf16";
  }

  std::string text_property_of_cpu(const char* key) const {
    char* value = nullptr;
    api_("ov_core_get_property", core_, "CPU", key, &value);
    std::string text = value != nullptr ? value : "";
    api_.free("ov_free", value);
    return text;
  }

  void compile(const imn_engine_request& request, const std::string& precision) {
    Handle model(api_, "ov_model_free");
    const std::string threads = std::to_string(threads_of(request));
    const char* no_weights = nullptr;
    try {
      api_("ov_core_read_model", core_, request.network_path, no_weights, model.out());
      find_inputs(model.get());
      fix_batch(model.get(), request);
      api_.variadic("ov_core_compile_model", core_, model.get(), static_cast<const char*>("CPU"), std::size_t{10},
                    compiled_.out(), "PERFORMANCE_HINT", "THROUGHPUT", "NUM_STREAMS", threads.c_str(),
                    "INFERENCE_NUM_THREADS", threads.c_str(), "INFERENCE_PRECISION_HINT", precision.c_str(),
                    "ENABLE_CPU_PINNING", "NO");
    } catch (const FileError&) {
      throw;
    } catch (const Error& error) {
      throw FileError(request.network_path, std::string("OpenVINO cannot use this network: ") + error.what());
    }
  }

  std::string input_name(void* model, std::size_t i) const {
    Handle port(api_, "ov_output_const_port_free");
    api_("ov_model_const_input_by_index", model, i, port.out());
    char* name = nullptr;
    api_("ov_port_get_any_name", port.get(), &name);
    std::string text = name != nullptr ? name : "";
    api_.free("ov_free", name);
    return text;
  }

  void find_inputs(void* model) {
    std::size_t inputs = 0, outputs = 0;
    api_("ov_model_inputs_size", model, &inputs);
    api_("ov_model_outputs_size", model, &outputs);
    const std::size_t wanted = n_statistics_ > 0 ? 2 : 1;
    if (inputs != wanted || outputs != 1) {
      throw Error("it has " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) + " outputs, not " +
                  std::to_string(wanted) + " and 1");
    }
    for (std::size_t i = 0; i < inputs; ++i) names_.push_back(input_name(model, i));
    if (inputs == 2) {
      image_ = names_[0] == "image" ? 0 : 1;
      if (names_[image_] != "image" || names_[1 - image_] != "statistics") {
        throw Error("its inputs are called '" + names_[0] + "' and '" + names_[1] + "', not 'image' and 'statistics'");
      }
    }
  }

  void fix_batch(void* model, const imn_engine_request& request) const {
    const auto fixed = [](std::int64_t size) { return Dimension{size, size}; };
    std::array<Dimension, 4> image{fixed(batch_), fixed(request.channels), fixed(request.height), fixed(request.width)};
    std::array<Dimension, 2> statistics{fixed(batch_), fixed(n_statistics_)};
    std::vector<const char*> names;
    std::vector<PartialShape> shapes;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      names.push_back(names_[i].c_str());
      shapes.push_back(i == image_ ? PartialShape{fixed(4), image.data()} : PartialShape{fixed(2), statistics.data()});
    }
    api_("ov_model_reshape", model, names.data(), static_cast<const PartialShape*>(shapes.data()), shapes.size());
  }

  // A request whose tensors have the sizes that config.json states.
  Request& add_request(const char* path) {
    requests_.emplace_back(api_);
    Request& request = requests_.back();
    api_("ov_compiled_model_create_infer_request", compiled_.get(), request.handle.out());
    request.image = tensor("ov_infer_request_get_input_tensor_by_index", request, image_, batch_ * image_size_, path);
    std::fill_n(request.image, batch_ * image_size_, 0.0f);  // the unused tail of a batch is computed, too
    if (n_statistics_ > 0) {
      request.statistics = tensor("ov_infer_request_get_input_tensor_by_index", request, 1 - image_,
                                  std::int64_t{batch_} * n_statistics_, path);
      std::fill_n(request.statistics, std::int64_t{batch_} * n_statistics_, 0.0f);
    }
    request.output =
        tensor("ov_infer_request_get_output_tensor_by_index", request, 0, std::int64_t{batch_} * n_outputs_, path);
    return request;
  }

  float* tensor(const char* function, const Request& request, std::size_t i, std::int64_t values,
                const char* path) const {
    Handle found(api_, "ov_tensor_free");  // the request keeps the memory
    api_(function, request.handle.get(), i, found.out());
    std::size_t bytes = 0;
    api_("ov_tensor_get_byte_size", found.get(), &bytes);
    if (bytes != static_cast<std::size_t>(values) * sizeof(float)) {
      throw FileError(path, "has tensors of other sizes or types than config.json states");
    }
    void* data = nullptr;
    api_("ov_tensor_data", found.get(), &data);
    return static_cast<float*>(data);
  }

  Request& acquire() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !free_.empty(); });
    Request* request = free_.back();
    free_.pop_back();
    return *request;
  }
  void release(Request& request) {
    const std::lock_guard lock(mutex_);
    free_.push_back(&request);
    changed_.notify_one();
  }

  SharedLibrary library_;
  Api api_;
  void* core_;
  Handle compiled_;
  int batch_;
  std::int64_t image_size_;
  std::int32_t n_statistics_;
  std::int32_t n_outputs_;
  std::vector<std::string> names_;
  std::size_t image_ = 0;
  int parallel_ = 1;
  std::string precision_;
  std::vector<Request> requests_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Request*> free_;  // guarded by mutex_
};

}  // namespace
}  // namespace imn::engines

IMN_PLUGIN std::uint32_t imn_engine_abi() { return IMN_ABI; }

IMN_PLUGIN imn_status imn_engine_open(const imn_engine_request* request, imn_engine* out, char* message,
                                      std::uint64_t n) {
  using imn::engines::Engine;
  return imn::engines::guarded(message, n, [&] {
    const auto plugin = imn::folder_of(reinterpret_cast<const void*>(&imn_engine_open));
    imn::engines::publish(out, *request, std::make_unique<Engine>(*request, plugin), "openvino");
  });
}
