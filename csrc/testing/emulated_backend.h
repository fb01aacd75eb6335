// A backend for the device loop without a device: queues are threads, and kernel bodies run on emulated blocks.
#pragma once

#include <cstdint>
#include <memory>

#include "pipeline/device/backend.h"

namespace imn::testing {

// Creates a backend with one thread per queue. If `seed` != 0, the threads of a phase run in random order and queues
// pause at random, so a missing wait changes the results.
std::unique_ptr<pipeline::DeviceBackend> make_emulated_backend(std::uint64_t seed);

}  // namespace imn::testing
