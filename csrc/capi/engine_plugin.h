// load_engine: starts a network in an engine plug-in, a shared library that is loaded at run time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "score/network.h"

namespace imn::capi {

struct EngineRequest {
  std::string name;          // "openvino", "onnxruntime": the plug-in is imn_engine_<name>
  std::string engine_dir;    // where plug-ins lie; empty: beside this library
  std::string library_path;  // the engine's own library or folder; empty: the plug-in knows
  std::string network_path;
  std::string precision;      // "auto", "f32", "bf16", "int8"
  int threads = 0;            // 0: all
  score::NetworkInfo wanted;  // channels, height, width, n_statistics and n_outputs, as config.json says
  std::function<void(int level, const std::string& text)> log;  // empty: nothing is logged
};

// Throws UnavailableError if the plug-in or its library is missing or does not start, FileError if the network cannot
// be used. The plug-in stays loaded, because engines do not survive being unloaded.
std::unique_ptr<score::Network> load_engine(const EngineRequest& request);

}  // namespace imn::capi
