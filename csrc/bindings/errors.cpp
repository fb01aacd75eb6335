#include <pybind11/pybind11.h>

#include "bindings/register.h"
#include "core/error.h"

namespace py = pybind11;

namespace imn::bindings {

// The exception classes are defined in Python (ionmorphnet.base.errors), so users can import and document them. The
// core looks them up when it throws, so each kind of error has one class on both sides.
void register_errors(py::module_&) {
  py::register_exception_translator([](std::exception_ptr p) {
    auto raise = [](const char* name, const char* text) {
      py::set_error(py::module_::import("ionmorphnet.base.errors").attr(name), text);
    };
    try {
      if (p) std::rethrow_exception(p);
    } catch (const FileError& e) {
      raise("FileError", e.what());
    } catch (const ArgumentError& e) {
      raise("ArgumentError", e.what());
    } catch (const UnavailableError& e) {
      raise("UnavailableError", e.what());
    } catch (const Cancelled& e) {
      raise("Cancelled", e.what());
    } catch (const Error& e) {
      raise("IonMorphNetError", e.what());
    }
  });
}

}  // namespace imn::bindings
