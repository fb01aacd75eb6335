// The fast XML parser: a scanner for the plain XML that imzML writers emit.
#pragma once

#include <string_view>

#include "io/header_builder.h"

namespace imn::io {

// unrecognised: malformed, or XML that is left to expat (DOCTYPE, CDATA, entities other than the five predefined,
// UTF-16 and other encodings); the builder is then in an undefined state.
enum class ScanOutcome { complete, stopped, unrecognised };

// Zero copy and without recursion. It checks what a truncated or damaged file breaks (tags match, quotes close, one
// root, no repeated attribute among those in use) but, unlike a validating parser, not that names and text consist of
// allowed characters.
ScanOutcome scan_xml(std::string_view text, HeaderBuilder& builder);

}  // namespace imn::io
