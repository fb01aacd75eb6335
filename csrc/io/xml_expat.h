// The thorough XML parser: expat behind the same events as the scanner.
#pragma once

#include <string_view>

#include "io/header_builder.h"

namespace imn::io {

// Throws FileError with the line where the XML breaks. Entity declarations are accepted only while they are short and
// hold no references of their own, so that no text can multiply; external ones are refused.
void parse_with_expat(std::string_view text, const std::string& path, HeaderBuilder& builder);

}  // namespace imn::io
