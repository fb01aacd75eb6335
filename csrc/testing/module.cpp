#include <pybind11/pybind11.h>

#include "bindings/register.h"
#include "testing/register.h"

PYBIND11_MODULE(_core_testing, m) {
  m.doc() = "Test hooks of ionmorphnet's native core; wheels do not contain this module.";
  pybind11::module_::import("ionmorphnet._core");  // registers Dataset, which functions here accept
  using namespace imn::testing;
  imn::bindings::register_errors(m);
  register_blocks(m);
  register_kernels(m);
  register_device_calls(m);
  register_host(m);
  register_files(m);
}
