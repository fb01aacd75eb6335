#include "score/device_network.h"

#include "core/error.h"

namespace imn::score {

void check_device_network(const DeviceNetwork& network) {
  const DeviceNetworkInfo& info = network.info;
  if (info.batch <= 0 || info.channels <= 0 || info.n_outputs <= 0) {
    throw ArgumentError("batch, channels and n_outputs of a device scorer must be positive");
  }
  if (info.n_statistics < 0) throw ArgumentError("n_statistics of a device scorer must not be negative");
  if (!network.enqueue) throw ArgumentError("a device scorer needs its function");
}

}  // namespace imn::score
