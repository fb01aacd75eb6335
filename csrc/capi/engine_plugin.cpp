#include "capi/engine_plugin.h"

#include <array>
#include <filesystem>
#include <new>
#include <utility>
#include <vector>

#include "capi/engine_network.h"
#include "capi/include/ionmorphnet.h"
#include "core/error.h"
#include "core/shared_library.h"

namespace imn::capi {
namespace {

namespace fs = std::filesystem;

#ifdef _WIN32
constexpr const char* kSuffix = ".dll";
#elif defined(__APPLE__)
constexpr const char* kSuffix = ".dylib";
#else
constexpr const char* kSuffix = ".so";
#endif

fs::path path_of(const std::string& text) { return {std::u8string(text.begin(), text.end())}; }

std::string text_of(const fs::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

fs::path plugin_path(const EngineRequest& request) {
  const std::string file = "imn_engine_" + request.name + kSuffix;
  const fs::path own = folder_of(reinterpret_cast<const void*>(&imn_abi));
  std::string searched;
  const std::vector<fs::path> folders = request.engine_dir.empty()
                                            ? std::vector<fs::path>{own / "ionmorphnet" / "engines", own}
                                            : std::vector<fs::path>{path_of(request.engine_dir)};
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (fs::is_regular_file(folder / file, error)) return folder / file;
    searched += (searched.empty() ? "" : " and ") + text_of(folder);
  }
  throw UnavailableError("engine '" + request.name + "': " + file + " was not found in " + searched +
                         "; install the plug-in there, or set engine_dir");
}

[[noreturn]] void fail(imn_status status, const std::string& what, const std::string& message) {
  const std::string text =
      message.empty() ? what + " could not be started (status " + std::to_string(status) + ")" : message;
  switch (status) {
    case IMN_ERR_FILE: {
      // The message begins with the file, as FileError puts it there.
      const std::size_t colon = text.find(": ");
      if (colon == std::string::npos) throw FileError(what, text);
      throw FileError(text.substr(0, colon), text.substr(colon + 2));
    }
    case IMN_ERR_ARGUMENT:
      throw ArgumentError(text);
    case IMN_ERR_UNAVAILABLE:
      throw UnavailableError(what + ": " + text);
    case IMN_ERR_MEMORY:
      throw std::bad_alloc();
    default:
      throw Error(what + ": " + text);
  }
}

}  // namespace

std::unique_ptr<score::Network> load_engine(const EngineRequest& request) {
  const std::string what = "engine '" + request.name + "'";
  const SharedLibrary library(plugin_path(request));
  const std::uint32_t abi = library.function<std::uint32_t IMN_CALL()>("imn_engine_abi")();
  if (abi != IMN_ABI) {
    throw UnavailableError(what + ": " + text_of(library.path()) + " is of interface " + std::to_string(abi) +
                           ", this library of " + std::to_string(IMN_ABI) + "; install the plug-in that belongs to it");
  }
  const auto open = library.function<imn_status IMN_CALL(const imn_engine_request*, imn_engine*, char*, std::uint64_t)>(
      "imn_engine_open");

  imn_engine_request native{};
  native.struct_size = sizeof native;
  native.threads = request.threads;
  native.network_path = request.network_path.c_str();
  native.precision = request.precision.c_str();
  native.library_path = request.library_path.empty() ? nullptr : request.library_path.c_str();
  native.channels = request.wanted.channels;
  native.height = request.wanted.height;
  native.width = request.wanted.width;
  native.n_statistics = request.wanted.n_statistics;
  native.n_outputs = request.wanted.n_outputs;
  if (request.log) {
    native.user = const_cast<void*>(static_cast<const void*>(&request.log));
    native.log = [](void* user, std::int32_t level, const char* text) {
      (*static_cast<const std::function<void(int, const std::string&)>*>(user))(level, text);
    };
  }
  imn_engine engine{};
  engine.struct_size = sizeof engine;
  std::array<char, 2048> message{};
  const imn_status status = open(&native, &engine, message.data(), message.size());
  if (status != IMN_OK) fail(status, what, std::string(message.data()));
  return make_engine_network(std::make_shared<OwnedEngine>(engine));
}

}  // namespace imn::capi
