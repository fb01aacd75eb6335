// Marks functions that CPU and CUDA code share; a C++ compiler sees plain inline functions.
#pragma once

// IMN_HOST_DEVICE: called from host code and from kernels. IMN_DEVICE_CODE: the body of a kernel, written over a Block
// (core/cuda/block.h): device code to nvcc, where the kernel is made of it; plain C++ elsewhere, where it is emulated.
// IMN_UNROLL(n): before a loop of device code.
#define IMN_PRAGMA(text) _Pragma(#text)
#ifdef __CUDACC__
#define IMN_UNROLL(n) IMN_PRAGMA(unroll n)
#define IMN_HOST_DEVICE __host__ __device__
#define IMN_DEVICE_CODE __device__
#else
#define IMN_UNROLL(n)
#define IMN_HOST_DEVICE
#define IMN_DEVICE_CODE
#endif
