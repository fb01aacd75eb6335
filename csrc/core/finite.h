// Replaces infinite intensities.
#pragma once

#include <cfloat>

#include "core/host_device.h"

namespace imn {

// For images from callers, and for sums of finite intensities that overflow: infinite values become the largest finite
// ones, so that sums and quotients are not NaN. (io/ has set non-finite intensities of files to 0.) NaN is kept,
// because it means "not measured".
IMN_HOST_DEVICE inline float clamp_finite(float x) { return x > FLT_MAX ? FLT_MAX : (x < -FLT_MAX ? -FLT_MAX : x); }

}  // namespace imn
