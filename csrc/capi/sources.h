// Bytes and spectra that come from functions of the caller.
#pragma once

#include <memory>

#include "capi/include/ionmorphnet.h"
#include "io/bytes.h"
#include "io/spectrum_source.h"

namespace imn::capi {

// Throws ArgumentError if a function or size is missing. Reading throws CallbackError if a function fails, and
// FileError if there are fewer bytes than stated.
std::shared_ptr<const io::ByteSource> make_byte_source(const imn_source& source);
std::shared_ptr<const io::SpectrumSource> make_spectrum_source(const imn_reader& reader);

}  // namespace imn::capi
