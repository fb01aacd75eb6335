// One function per group of test hooks. module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace imn::testing {

void register_blocks(pybind11::module_& m);
void register_kernels(pybind11::module_& m);
void register_device_calls(pybind11::module_& m);
void register_host(pybind11::module_& m);
void register_files(pybind11::module_& m);

}  // namespace imn::testing
