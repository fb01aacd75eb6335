// Finds the ibd file that belongs to an imzML file.
#pragma once

#include <string>

namespace imn::io {

// The file beside `imzml_path` with its stem and the extension ibd, whatever the case of either; for a symbolic link,
// then the one beside what it points to. Throws FileError that names the paths tried. UTF-8 in and out.
std::string find_ibd(const std::string& imzml_path);

bool is_ibd_name(const std::string& path);

}  // namespace imn::io
