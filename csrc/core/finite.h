// What an infinite intensity is worth.
#pragma once

#include <cfloat>

#include "core/host_device.h"

namespace imn {

// Infinite intensities (overflow, damaged files) count as the largest finite ones, so that sums and quotients of
// intensities stay numbers. NaN is not for here: it means "not measured".
IMN_HOST_DEVICE inline float clamp_finite(float x) { return x > FLT_MAX ? FLT_MAX : (x < -FLT_MAX ? -FLT_MAX : x); }

}  // namespace imn
