// What build_info() tells about a host; `_core_testing` calls it with made-up hosts.
#pragma once

#include <pybind11/pybind11.h>

#include "core/device.h"

namespace imn::bindings {

pybind11::dict build_info(const DeviceStatus& status);

}  // namespace imn::bindings
