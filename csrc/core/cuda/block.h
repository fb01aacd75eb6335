// Block is the interface through which a kernel body uses its thread block. DeviceBlock is the real one; HostBlock
// (testing/host_block.h) emulates it.
//
// Note [Kernels without a device]. A kernel body is written once, as a function template over a Block, marked
// IMN_DEVICE_CODE. Its .cu file instantiates it with DeviceBlock inside a thin __global__ function. For the tests,
// testing/*_emulated.cpp (plain C++) instantiates it with HostBlock and compares it with the CPU stage and the
// reference. Both compute the same if the body follows these rules:
//   - It consists of phases. block.for_each(n, f) calls f(i) once for every i in [0, n), spread over the threads, and
//     ends with a barrier. The order within a phase is undefined: no f(i) may read what another f(j) writes, unless any
//     value ever stored there is acceptable; it must then use block.load(), store() or compare_and_swap().
//   - f does not write local variables that outlive the phase: on the device each thread would have a private copy, on
//     the host all share one. Such values live in shared memory, or are local to f.
//   - It receives shared memory as a pointer and uses the collectives of the block. Their order is fixed and the same
//     in both blocks, so sums of floats have the same bits.
// HostBlock visits the threads in a different order in every phase, drawn from its seed, so a dependence on the order
// appears as a difference between seeds. It cannot detect a missing barrier between unsynced phases
// (for_each_unsynced).
#pragma once

#include "core/host_device.h"

#ifdef __CUDACC__
#include "core/cuda/device_block.h"
#endif

namespace imn::cuda {

// A collective needs kScratch values of shared memory as `scratch`: one per warp, and the total.
inline constexpr int kWarp = 32;
inline constexpr int kScratch = 33;

}  // namespace imn::cuda
