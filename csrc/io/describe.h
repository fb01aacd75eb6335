// The head of a file as key/value text.
#pragma once

#include <string>

#include "io/header.h"
#include "io/types.h"

namespace imn::io {

// Keys, if the file declares them: mode, spectrum_type, spectrum_count, max_count_x, max_count_y, pixel_size_x_um,
// pixel_size_y_um, polarity, ms_level, instrument, software, source_file, other_arrays, uuid, ibd_md5, ibd_sha1,
// ibd_sha256.
Declared describe(const Header& header);

// Reads only up to the list of spectra, whatever the size of the file. Throws FileError.
Declared read_head(const std::string& path);

}  // namespace imn::io
