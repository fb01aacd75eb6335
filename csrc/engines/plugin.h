// What the engine plug-ins share: errors that become a status and a message, and the engine's own library.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "capi/include/ionmorphnet.h"
#include "core/error.h"
#include "core/shared_library.h"

#if defined(_WIN32)
#define IMN_PLUGIN extern "C" __declspec(dllexport)
#else
#define IMN_PLUGIN extern "C" __attribute__((visibility("default")))
#endif

namespace imn::engines {

inline void copy_text(char* to, std::uint64_t room, std::string_view text) {
  if (to == nullptr || room == 0) return;
  const std::size_t n = std::min<std::size_t>(text.size(), static_cast<std::size_t>(room) - 1);
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

inline std::filesystem::path path_of(const char* text) {
  const std::string_view given(text);
  return std::filesystem::path(std::u8string(given.begin(), given.end()));
}

// Runs `body` and turns what it throws into a status and a message.
template <typename Body>
imn_status guarded(char* message, std::uint64_t room, Body&& body) {
  try {
    body();
    return IMN_OK;
  } catch (const FileError& error) {
    copy_text(message, room, error.what());
    return IMN_ERR_FILE;
  } catch (const ArgumentError& error) {
    copy_text(message, room, error.what());
    return IMN_ERR_ARGUMENT;
  } catch (const UnavailableError& error) {
    copy_text(message, room, error.what());
    return IMN_ERR_UNAVAILABLE;
  } catch (const std::bad_alloc&) {
    copy_text(message, room, "there is not enough memory for the network");
    return IMN_ERR_MEMORY;
  } catch (const std::exception& error) {
    copy_text(message, room, error.what());
    return IMN_ERR_INTERNAL;
  }
}

// The engine's own library: `given` if it is a file, else the first file in the folder `given`, or beside the plug-in
// and in its subfolder `subfolder` if nothing is given, whose name begins with `stem`. Only a full path is loaded,
// because the system's search would prefer a library of the same name elsewhere.
inline SharedLibrary engine_library(const char* given, const std::filesystem::path& plugin, std::string_view stem,
                                    std::string_view subfolder) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path wanted = given != nullptr && *given != '\0' ? path_of(given) : fs::path{};
  if (!wanted.empty() && fs::is_regular_file(wanted, error)) return SharedLibrary(wanted);
  std::string searched;
  const std::vector<fs::path> folders =
      wanted.empty() ? std::vector<fs::path>{plugin, plugin / subfolder} : std::vector<fs::path>{wanted};
  for (const fs::path& folder : folders) {
    fs::path found;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::u8string name = entry.path().filename().u8string();
      const bool matches = std::u8string_view(name).starts_with(std::u8string(stem.begin(), stem.end()));
      if (matches && entry.is_regular_file(error) && (found.empty() || entry.path() < found)) found = entry.path();
    }
    if (!found.empty()) return SharedLibrary(found);
    const std::u8string text = folder.u8string();
    searched += (searched.empty() ? "" : " and ") + std::string(text.begin(), text.end());
  }
  throw UnavailableError(std::string(stem) + " was not found in " + searched +
                         "; put it there, or name it with engine_library");
}

inline int threads_of(const imn_engine_request& request) {
  return request.threads > 0 ? request.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

inline std::string_view precision_of(const imn_engine_request& request) {
  return request.precision == nullptr ? std::string_view("auto") : std::string_view(request.precision);
}

// Hands an engine over: `Engine` has batch(), parallel(), precision(), and score(), which may throw.
template <typename Engine>
void publish(imn_engine* to, const imn_engine_request& request, std::unique_ptr<Engine> engine, std::string_view name) {
  imn_engine out{};
  out.struct_size = to->struct_size;
  out.memory = IMN_MEMORY_HOST;
  out.dtype = IMN_F32;
  out.batch = engine->batch();
  out.channels = request.channels;
  out.height = request.height;
  out.width = request.width;
  out.n_statistics = request.n_statistics;
  out.n_outputs = request.n_outputs;
  out.parallel = engine->parallel();
  copy_text(out.name, sizeof out.name, name);
  copy_text(out.precision, sizeof out.precision, engine->precision());
  out.score = [](void* user, const void* images, const float* statistics, float* outputs, std::int64_t n,
                 void*) -> std::int32_t {
    try {
      static_cast<Engine*>(user)->score(static_cast<const float*>(images), statistics, outputs, n);
      return 0;
    } catch (...) {
      return 1;
    }
  };
  out.destroy = [](void* user) { delete static_cast<Engine*>(user); };
  out.user = engine.release();
  // An older library knows fewer fields.
  std::memcpy(to, &out, std::min<std::size_t>(to->struct_size, sizeof out));
}

}  // namespace imn::engines
