// build_info() for a given host; `_core_testing` calls it for hosts other than this machine.
#pragma once

#include "bindings/python_types.h"
#include "core/device.h"

namespace imn::bindings {

using NativeBuildInfo = TypedDict<"NativeBuildInfo">;
NativeBuildInfo build_info(const DeviceStatus& status);

}  // namespace imn::bindings
