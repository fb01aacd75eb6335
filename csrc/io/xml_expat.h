// The thorough XML parser: expat, emitting the same events as the scanner.
#pragma once

#include <string_view>

#include "io/header_builder.h"

namespace imn::io {

// Throws FileError with the line of the first XML error. Entity declarations are accepted only if they are short and
// contain no references, so that text cannot multiply; external entities are rejected.
void parse_with_expat(std::string_view text, const std::string& path, HeaderBuilder& builder);

}  // namespace imn::io
