// How a Dataset crosses the Python border: class _core.Dataset, `ds._native` of the Python facade.
#pragma once

#include <memory>

#include "io/plane.h"

namespace imn::bindings {

// pybind11 has no holder for pointers to const, so the pointer is a member. Bindings of other stages take a
// `const DatasetHandle&` and copy `dataset` before they release the GIL: the copy keeps the mapping alive even when
// Python closes the file meanwhile.
struct DatasetHandle {
  std::shared_ptr<const io::Plane> dataset;
};

}  // namespace imn::bindings
