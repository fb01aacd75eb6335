// Finds the ibd file that belongs to an imzML file.
#pragma once

#include <string>

namespace imn::io {

// The file next to `imzml_path` with the same stem and the extension ibd, regardless of case. For a symbolic link, the
// folder of its target is searched next. Throws a FileError that names the paths tried. Paths are UTF-8.
std::string find_ibd(const std::string& imzml_path);

bool is_ibd_name(const std::string& path);

}  // namespace imn::io
