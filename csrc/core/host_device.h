// Marks arithmetic that the CPU and the CUDA code share: plain inline functions to a C++ compiler.
#pragma once

#ifdef __CUDACC__
#define IMN_HOST_DEVICE __host__ __device__
#else
#define IMN_HOST_DEVICE
#endif
