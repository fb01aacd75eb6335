#include "bindings/register.h"

namespace imn::bindings {

void register_score(pybind11::module_&) {}

}  // namespace imn::bindings
