// An ONNX file, or OpenVINO's own format for quantised networks (.xml beside .bin), as a compiled OpenVINO model of
// fixed batch; used by openvino_network.cpp only.
#pragma once

#include <cstddef>
#include <exception>
#include <openvino/openvino.hpp>
#include <string>

#include "score/network.h"

namespace imn::score {

// The process's OpenVINO core. Created once, at first use, because loading plugins takes a while.
ov::Core& openvino_core();

// Returns the line of an OpenVINO message that states the cause.
std::string cause_of(const std::exception& error);

struct CompiledModel {
  ov::CompiledModel network;
  NetworkInfo info;
  std::size_t image_input = 0;       // index among the network's inputs
  std::size_t statistics_input = 0;  // likewise, if info.n_statistics > 0
  int streams = 1;                   // batches that run at the same time
};

// Throws FileError (missing, damaged, not a (N, C, H, W) [and (N, F)] -> (N, K) network), ArgumentError,
// UnavailableError.
CompiledModel compile_network(const std::string& path, const OpenVinoOptions& options);

}  // namespace imn::score
