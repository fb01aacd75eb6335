// What the handles of the C interface stand for.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "capi/calls.h"
#include "capi/handles.h"
#include "io/plane.h"
#include "models/model.h"
#include "pick/axis.h"
#include "pick/pick.h"
#include "pick/record.h"
#include "score/feeder.h"

namespace imn::capi {

struct Context {
  int level = IMN_LOG_WARNING;
  void* user = nullptr;
  void(IMN_CALL* log)(void*, int32_t, const char*) = nullptr;
  std::string engine_dir, model_dir;
  int threads = 0;

  // In the calling thread. A null function logs nothing.
  void tell(int of_level, const std::string& text) const {
    if (log != nullptr && of_level <= level) log(user, of_level, text.c_str());
  }
};

struct Cancel {
  std::atomic<bool> set{false};
};

struct Dataset {
  std::shared_ptr<const Context> context;
  std::shared_ptr<const io::Plane> plane;
  pick::Opened opened;

  // Logs the warnings that came after the first `told`.
  void tell_warnings(std::size_t told) const;
};

struct Axis {
  pick::Channels channels;
};

struct Scorer {
  std::shared_ptr<const Context> context;
  std::optional<models::Model> model;
  std::unique_ptr<score::Network> network;
  std::optional<score::DeviceNetwork> device_network;
  pick::Scorer native;  // refers to the members above
  score::Feeder feeder;
};

template <>
inline constexpr bool kThreaded<Scorer> = true;

struct Peaks {
  pick::Peaks table;
  std::string json;
};

template <>
struct KindOf<Context> {
  static constexpr const char* name = "context";
};
template <>
struct KindOf<Cancel> {
  static constexpr const char* name = "cancel";
};
template <>
struct KindOf<Dataset> {
  static constexpr const char* name = "dataset";
};
template <>
struct KindOf<Axis> {
  static constexpr const char* name = "axis";
};
template <>
struct KindOf<Scorer> {
  static constexpr const char* name = "scorer";
};
template <>
struct KindOf<Peaks> {
  static constexpr const char* name = "peaks";
};

// The flag of a cancel handle, kept alive; null if no handle was given. Throws ArgumentError.
std::shared_ptr<Cancel> cancel_of(const imn_cancel* cancel);
inline const std::atomic<bool>* flag_of(const std::shared_ptr<Cancel>& cancel) {
  return cancel ? &cancel->set : nullptr;
}

}  // namespace imn::capi
