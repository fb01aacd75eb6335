// Limits against hostile XML, far above what imzML writers produce.
#pragma once

#include <cstddef>

namespace imn::io {

constexpr std::size_t kMaxDepth = 256;         // nested elements; imzML needs ten
constexpr std::size_t kMaxDeclaration = 1024;  // bytes of <?xml ... ?>
constexpr int kMaxEntityLength = 64;           // entities declared in the file: short, without references

}  // namespace imn::io
