// The native object behind _core.Dataset, which is `ds._native` in the Python facade.
#pragma once

#include <memory>

#include "io/plane.h"

namespace imn::bindings {

// pybind11 has no holder for pointers to const, so the pointer is a member. Bindings of other stages accept a `const
// DatasetHandle&` and copy `dataset` before they release the GIL: the copy keeps the mapping alive even if Python
// closes the file in the meantime.
struct DatasetHandle {
  std::shared_ptr<const io::Plane> dataset;
};

}  // namespace imn::bindings
