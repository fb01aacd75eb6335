#include "io/ibd_lookup.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/error.h"

namespace imn::io {

namespace {

namespace fs = std::filesystem;

fs::path from_utf8(const std::string& text) { return fs::path(std::u8string(text.begin(), text.end())); }

std::string as_utf8(const fs::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

// ASCII only: extensions are, and a stem is compared exactly first.
std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return text;
}

}  // namespace

std::string find_ibd(const std::string& imzml_path) {
  const fs::path path = from_utf8(imzml_path);
  fs::path usual = path;
  usual.replace_extension(".ibd");
  std::error_code error;
  if (fs::exists(usual, error)) return as_utf8(usual);

  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const std::string wanted = lower(as_utf8(usual.filename()));
  const std::string stem = as_utf8(path.stem());
  std::vector<std::string> found;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (lower(as_utf8(it->path().filename())) == wanted) {
      found.push_back(as_utf8(path.has_parent_path() ? it->path() : it->path().filename()));
    }
  }
  // Several spellings side by side: the one whose stem is spelt alike, then by name, so that the choice is stable.
  std::sort(found.begin(), found.end());
  std::stable_partition(found.begin(), found.end(),
                        [&](const std::string& f) { return as_utf8(from_utf8(f).stem()) == stem; });
  if (!found.empty()) return found.front();
  throw FileError(imzml_path, "its ibd file is missing; tried " + as_utf8(usual) +
                                  " and every spelling of that name in upper and lower case");
}

}  // namespace imn::io
