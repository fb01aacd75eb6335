// What an infinite intensity is worth.
#pragma once

#include <cfloat>

#include "core/host_device.h"

namespace imn {

// For images from callers, and sums of a file's finite intensities that overflow: infinite values count as the largest
// finite ones, so that sums and quotients stay numbers. (Intensities that are not finite in a file have become 0 in
// io/.) NaN is not for here: it means "not measured".
IMN_HOST_DEVICE inline float clamp_finite(float x) { return x > FLT_MAX ? FLT_MAX : (x < -FLT_MAX ? -FLT_MAX : x); }

}  // namespace imn
