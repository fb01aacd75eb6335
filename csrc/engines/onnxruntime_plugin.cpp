// imn_engine_onnxruntime: runs a network on the CPU with ONNX Runtime, whose library is loaded at run time. Its
// functions lie in a table that only grows; this file names the places it needs, so no header of ONNX Runtime is
// needed.
#include <array>
#include <memory>
#include <vector>

#include "engines/plugin.h"

namespace imn::engines {
namespace {

constexpr int kBatch = 2;  // as in score/openvino_model.cpp
// The version of the table since which all the places below exist; every later library offers it.
constexpr std::uint32_t kApiVersion = 17;
constexpr int kFloat = 1;           // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX's own number
constexpr int kFatal = 4;           // ORT_LOGGING_LEVEL_FATAL: nothing is printed
constexpr int kArenaAllocator = 1;  // OrtArenaAllocator
constexpr int kDefaultMemory = 0;   // OrtMemTypeDefault
#ifdef _WIN32
using PathChar = wchar_t;
#else
using PathChar = char;
#endif

enum Place : std::size_t {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetIntraOpNumThreads = 24,
  kSetInterOpNumThreads = 25,
  kSessionGetInputCount = 30,
  kSessionGetOutputCount = 31,
  kSessionGetInputTypeInfo = 33,
  kSessionGetOutputTypeInfo = 34,
  kSessionGetInputName = 36,
  kSessionGetOutputName = 37,
  kCreateTensorWithDataAsOrtValue = 49,
  kCastTypeInfoToTensorInfo = 55,
  kGetTensorElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kCreateCpuMemoryInfo = 69,
  kAllocatorFree = 76,
  kGetAllocatorWithDefaultOptions = 78,
  kReleaseEnv = 92,
  kReleaseStatus = 93,
  kReleaseMemoryInfo = 94,
  kReleaseSession = 95,
  kReleaseValue = 96,
  kReleaseTypeInfo = 98,
  kReleaseSessionOptions = 100,
};

struct ApiBase {
  const void*(IMN_CALL* get_api)(std::uint32_t version);
  const char*(IMN_CALL* version)();
};

class Api {
 public:
  explicit Api(const SharedLibrary& library) {
    const ApiBase* base = library.function<const ApiBase*()>("OrtGetApiBase")();
    table_ = static_cast<void* const*>(base->get_api(kApiVersion));
    if (table_ == nullptr) {
      throw UnavailableError("ONNX Runtime " + std::string(base->version()) + " is too old; 1.17 or newer is needed");
    }
  }

  // Calls a function that returns a status; throws with its message.
  template <typename... Arguments>
  void operator()(Place place, Arguments... arguments) const {
    void* status = at<void*(Arguments...)>(place)(arguments...);
    if (status == nullptr) return;
    std::string text = at<const char*(const void*)>(kGetErrorMessage)(status);
    at<void(void*)>(kReleaseStatus)(status);
    std::replace(text.begin(), text.end(), '\n', ' ');
    throw Error(text);
  }
  void release(Place place, void* what) const {
    if (what != nullptr) at<void(void*)>(place)(what);
  }

 private:
  template <typename Function>
  Function* at(Place place) const {
    return reinterpret_cast<Function*>(table_[place]);
  }

  void* const* table_ = nullptr;
};

class Handle {
 public:
  Handle(const Api& api, Place free) : api_(&api), free_(free) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { api_->release(free_, pointer_); }
  void* get() const { return pointer_; }
  void** out() { return &pointer_; }

 private:
  const Api* api_;
  Place free_;
  void* pointer_ = nullptr;
};

class Engine {
 public:
  Engine(const imn_engine_request& request, const std::filesystem::path& plugin)
      : library_(engine_library(request.library_path, plugin, kStem, "onnxruntime")),
        api_(library_),
        environment_(api_, kReleaseEnv),
        session_(api_, kReleaseSession),
        memory_(api_, kReleaseMemoryInfo),
        batch_(request.batch > 0 ? request.batch : kBatch),
        parallel_(threads_of(request)),
        image_{0, request.channels, request.height, request.width},
        statistics_{0, request.n_statistics},
        n_outputs_(request.n_outputs) {
    const std::string_view precision = precision_of(request);
    if (precision != "auto" && precision != "f32") {
      throw UnavailableError("ONNX Runtime computes in f32 here, not in " + std::string(precision));
    }
    try {
      open(request);
    } catch (const FileError&) {
      throw;
    } catch (const Error& error) {
      throw FileError(request.network_path, std::string("ONNX Runtime cannot use this network: ") + error.what());
    }
  }

  int parallel() const { return parallel_; }
  int batch() const { return batch_; }
  const char* precision() const { return "f32"; }

  void score(const float* images, const float* statistics, float* outputs, std::int64_t n) {
    Handle image(api_, kReleaseValue), more(api_, kReleaseValue), found(api_, kReleaseValue);
    wrap(images, shape(image_, n), image);
    std::array<const char*, 2> names{image_name_.c_str(), "statistics"};
    std::array<void*, 2> values{image.get(), nullptr};
    std::size_t inputs = 1;
    if (statistics_[1] > 0) {
      wrap(statistics, shape(statistics_, n), more);
      values[inputs++] = more.get();
    }
    wrap(outputs, std::array<std::int64_t, 2>{n, n_outputs_}, found);
    std::array<const char*, 1> results{output_name_.c_str()};
    void* output = found.get();  // ONNX Runtime writes into memory that is given to it
    const void* no_options = nullptr;
    api_(kRun, session_.get(), no_options, static_cast<const char* const*>(names.data()),
         static_cast<void* const*>(values.data()), inputs, static_cast<const char* const*>(results.data()),
         std::size_t{1}, &output);
  }

 private:
#ifdef _WIN32
  static constexpr const char* kStem = "onnxruntime.dll";
#elif defined(__APPLE__)
  static constexpr const char* kStem = "libonnxruntime.";
#else
  static constexpr const char* kStem = "libonnxruntime.so";
#endif

  template <std::size_t N>
  static std::array<std::int64_t, N> shape(std::array<std::int64_t, N> sizes, std::int64_t n) {
    sizes[0] = n;
    return sizes;
  }

  template <std::size_t N>
  void wrap(const float* values, const std::array<std::int64_t, N>& sizes, Handle& to) const {
    std::size_t bytes = sizeof(float);
    for (const std::int64_t size : sizes) bytes *= static_cast<std::size_t>(size);
    api_(kCreateTensorWithDataAsOrtValue, static_cast<const void*>(memory_.get()),
         static_cast<void*>(const_cast<float*>(values)), bytes, sizes.data(), N, kFloat, to.out());
  }

  void open(const imn_engine_request& request) {
    api_(kCreateEnv, kFatal, "ionmorphnet", environment_.out());
    Handle options(api_, kReleaseSessionOptions);
    api_(kCreateSessionOptions, options.out());
    // Images are independent: every caller's thread runs a batch of its own, and no core waits for another.
    api_(kSetIntraOpNumThreads, options.get(), 1);
    api_(kSetInterOpNumThreads, options.get(), 1);
    const std::basic_string<PathChar> path = path_of(request.network_path).native();
    api_(kCreateSession, static_cast<const void*>(environment_.get()), path.c_str(),
         static_cast<const void*>(options.get()), session_.out());
    api_(kCreateCpuMemoryInfo, kArenaAllocator, kDefaultMemory, memory_.out());
    std::size_t inputs = 0, outputs = 0;
    api_(kSessionGetInputCount, static_cast<const void*>(session_.get()), &inputs);
    api_(kSessionGetOutputCount, static_cast<const void*>(session_.get()), &outputs);
    const std::size_t wanted = statistics_[1] > 0 ? 2 : 1;
    if (inputs != wanted || outputs != 1) {
      throw Error("it has " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) + " outputs, not " +
                  std::to_string(wanted) + " and 1");
    }
    output_name_ = name(kSessionGetOutputName, 0);
    check(kSessionGetOutputTypeInfo, 0, std::array<std::int64_t, 2>{0, n_outputs_});
    for (std::size_t i = 0; i < inputs; ++i) {
      const std::string found = name(kSessionGetInputName, i);
      if (inputs == 2 && found != "image" && found != "statistics") {
        throw Error("it has an input called '" + found + "'; the two are called 'image' and 'statistics'");
      }
      if (found == "statistics" && inputs == 2) {
        check(kSessionGetInputTypeInfo, i, statistics_);
      } else {
        image_name_ = found;
        check(kSessionGetInputTypeInfo, i, image_);
      }
    }
  }

  std::string name(Place place, std::size_t i) const {
    void* allocator = nullptr;  // of the process, not to be released
    char* text = nullptr;
    api_(kGetAllocatorWithDefaultOptions, &allocator);
    api_(place, static_cast<const void*>(session_.get()), i, allocator, &text);
    std::string found = text;
    api_(kAllocatorFree, allocator, static_cast<void*>(text));
    return found;
  }

  // All sizes but the first, which is the batch, must be those that config.json states.
  template <std::size_t N>
  void check(Place place, std::size_t i, const std::array<std::int64_t, N>& wanted) const {
    Handle info(api_, kReleaseTypeInfo);
    api_(place, static_cast<const void*>(session_.get()), i, info.out());
    const void* tensor = nullptr;  // part of info
    api_(kCastTypeInfoToTensorInfo, static_cast<const void*>(info.get()), &tensor);
    int type = 0;
    std::size_t rank = 0;
    std::array<std::int64_t, N> sizes{};
    if (tensor != nullptr) {
      api_(kGetTensorElementType, tensor, &type);
      api_(kGetDimensionsCount, tensor, &rank);
      if (rank == N) api_(kGetDimensions, tensor, sizes.data(), N);
    }
    if (type != kFloat || rank != N || !std::equal(sizes.begin() + 1, sizes.end(), wanted.begin() + 1)) {
      throw Error("it has tensors of other sizes or types than config.json states");
    }
  }

  SharedLibrary library_;
  Api api_;
  Handle environment_;
  Handle session_;
  Handle memory_;
  int batch_;
  int parallel_;
  std::array<std::int64_t, 4> image_;
  std::array<std::int64_t, 2> statistics_;
  std::int64_t n_outputs_;
  std::string image_name_;
  std::string output_name_;
};

}  // namespace
}  // namespace imn::engines

IMN_PLUGIN std::uint32_t imn_engine_abi() { return IMN_ABI; }

IMN_PLUGIN imn_status imn_engine_open(const imn_engine_request* request, imn_engine* out, char* message,
                                      std::uint64_t n) {
  using imn::engines::Engine;
  return imn::engines::guarded(message, n, [&] {
    const auto plugin = imn::folder_of(reinterpret_cast<const void*>(&imn_engine_open));
    imn::engines::publish(out, *request, std::make_unique<Engine>(*request, plugin), "onnxruntime");
  });
}
