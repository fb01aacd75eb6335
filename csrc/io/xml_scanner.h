// The fast XML parser: a scanner for the plain XML that imzML writers emit.
#pragma once

#include <string_view>

#include "io/header_builder.h"

namespace imn::io {

// unrecognised: malformed XML, or XML that is left to expat (DOCTYPE, CDATA, entities other than the five predefined,
// UTF-16 and other encodings); the builder is then in an undefined state.
enum class ScanOutcome { complete, stopped, unrecognised };

// Copies nothing and does not recurse. It checks what truncation or damage breaks (tags match, quotes close, there is
// one root, no used attribute is repeated) but, unlike a validating parser, does not check the characters of names and
// text.
ScanOutcome scan_xml(std::string_view text, HeaderBuilder& builder);

}  // namespace imn::io
