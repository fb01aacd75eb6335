// What build_info() reports about a host; `_core_testing` calls it with hosts that this machine is not.
#pragma once

#include "bindings/python_types.h"
#include "core/device.h"

namespace imn::bindings {

using NativeBuildInfo = TypedDict<"NativeBuildInfo">;
NativeBuildInfo build_info(const DeviceStatus& status);

}  // namespace imn::bindings
