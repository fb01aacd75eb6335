// The device loop's backend without a device: queues are threads, and kernels are their bodies on emulated blocks.
#pragma once

#include <cstdint>
#include <memory>

#include "pipeline/device/backend.h"

namespace imn::testing {

// A thread per queue. `seed` != 0: threads of a phase run in random order and queues pause at random, so that a missing
// wait shows in the results.
std::unique_ptr<pipeline::DeviceBackend> make_emulated_backend(std::uint64_t seed);

}  // namespace imn::testing
