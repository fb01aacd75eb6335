#include "bindings/register.h"

namespace imn::bindings {

void register_pipeline(pybind11::module_&) {}

}  // namespace imn::bindings
