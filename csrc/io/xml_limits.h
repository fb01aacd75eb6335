// Bounds on XML that no imzML writer comes near; hostile files do.
#pragma once

#include <cstddef>

namespace imn::io {

constexpr std::size_t kMaxDepth = 256;         // nested elements; imzML needs ten
constexpr std::size_t kMaxDeclaration = 1024;  // bytes of <?xml ... ?>
constexpr int kMaxEntityLength = 64;           // a file's own entities: short and without references inside

}  // namespace imn::io
