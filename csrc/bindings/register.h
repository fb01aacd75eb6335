// One function per stage. module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace imn::bindings {

void register_errors(pybind11::module_& m);
void register_device(pybind11::module_& m);
void register_io(pybind11::module_& m);
void register_images(pybind11::module_& m);
void register_axis(pybind11::module_& m);
void register_models(pybind11::module_& m);
void register_preprocess(pybind11::module_& m);
void register_score(pybind11::module_& m);
void register_pipeline(pybind11::module_& m);
void register_pick(pybind11::module_& m);
void register_device_calls(pybind11::module_& m);

}  // namespace imn::bindings
