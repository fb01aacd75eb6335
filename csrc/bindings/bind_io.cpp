#include "bindings/register.h"

namespace imn::bindings {

void register_io(pybind11::module_&) {}

}  // namespace imn::bindings
