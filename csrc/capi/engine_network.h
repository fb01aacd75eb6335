// A network that an imn_engine runs: the bridge from the C interface to the host loop.
#pragma once

#include <functional>
#include <memory>

#include "capi/include/ionmorphnet.h"
#include "core/error.h"
#include "score/device_network.h"
#include "score/network.h"

namespace imn::capi {

// A function of the caller reported a failure.
class CallbackError : public Error {
 public:
  using Error::Error;
};

// Calls destroy() of the engine that it took over, once.
class OwnedEngine {
 public:
  explicit OwnedEngine(const imn_engine& engine) : engine_(engine) {}
  ~OwnedEngine() {
    if (engine_.destroy != nullptr) engine_.destroy(engine_.user);
  }
  OwnedEngine(const OwnedEngine&) = delete;
  OwnedEngine& operator=(const OwnedEngine&) = delete;
  const imn_engine& get() const { return engine_; }

 private:
  imn_engine engine_;
};

// What the engine says of itself, checked. Throws ArgumentError if it contradicts itself.
score::NetworkInfo engine_info(const imn_engine& engine);

// A network in host memory. With parallel = 0 score() runs in the thread that feeds the network, otherwise in that many
// threads, so that images are prepared meanwhile. Throws ArgumentError; CallbackError when score() fails.
std::unique_ptr<score::Network> make_engine_network(std::shared_ptr<const OwnedEngine> engine);

// The same on a CUDA device, for the device loop.
score::DeviceNetwork make_engine_device_network(const std::shared_ptr<const OwnedEngine>& engine);

}  // namespace imn::capi
