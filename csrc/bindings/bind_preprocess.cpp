#include "bindings/register.h"

namespace imn::bindings {

void register_preprocess(pybind11::module_&) {}

}  // namespace imn::bindings
