// Block: how the body of a kernel sees its thread block. DeviceBlock is the real one; HostBlock
// (testing/host_block.h) emulates it.
//
// Note [Kernels without a device]. A kernel's body is written once, as a function template over a Block, marked
// IMN_DEVICE_CODE. Its .cu file instantiates it with DeviceBlock inside a thin __global__. For the tests,
// testing/*_emulated.cpp (plain C++) instantiates it with HostBlock and compares it with the CPU stage and the
// reference. For both to compute the same, a body
//   - consists of phases: block.for_each(n, f) calls f(i) once for every i in [0, n), spread over the threads, and ends
//     with a barrier. Within a phase the order is not defined: no f(i) may read what another one writes, unless any
//     value that was ever there will do, and then by block.load(), store(), compare_and_swap();
//   - keeps nothing in local variables from phase to phase that f writes (each thread would have its own on the device,
//     all share one on the host): such values live in shared memory, or in local variables of f itself;
//   - gets its shared memory as a pointer, and its collectives from the block: their order is fixed, and the same here
//     and there, so that sums of floats have the same bits.
// HostBlock visits the threads in another order in every phase, drawn from its seed: what depends on the order shows up
// as a difference between seeds. It cannot show missing barriers between unsynced phases (for_each_unsynced).
#pragma once

#include "core/host_device.h"

#ifdef __CUDACC__
#include "core/cuda/device_block.h"
#endif

namespace imn::cuda {

// Values of shared memory that a collective needs as `scratch`: one a warp, and the total.
inline constexpr int kWarp = 32;
inline constexpr int kScratch = 33;

}  // namespace imn::cuda
