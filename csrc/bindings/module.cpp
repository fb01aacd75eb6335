#include <pybind11/pybind11.h>

#include "bindings/register.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native core of ionmorphnet; use the Python package, not this module.";
  m.attr("__version__") = IMN_VERSION;
  using namespace imn::bindings;
  register_errors(m);
  register_device(m);
  register_io(m);
  register_images(m);
  register_axis(m);
  register_preprocess(m);
  register_score(m);
  register_models(m);
  register_pipeline(m);
  register_pick(m);
  register_device_calls(m);
}
