#include "score/device_network.h"

#include "core/error.h"

namespace imn::score {

void check_device_network(const DeviceNetwork& network) {
  const DeviceNetworkInfo& info = network.info;
  if (info.batch <= 0 || info.channels <= 0 || info.size <= 0 || info.n_outputs <= 0) {
    throw ArgumentError("batch, channels, size and n_outputs of a device network must be positive");
  }
  if (info.n_statistics < 0) throw ArgumentError("n_statistics of a device network must not be negative");
  if (!network.enqueue) throw ArgumentError("a device network needs an enqueue function");
}

}  // namespace imn::score
