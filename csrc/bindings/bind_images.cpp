#include "bindings/register.h"

namespace imn::bindings {

void register_images(pybind11::module_&) {}

}  // namespace imn::bindings
