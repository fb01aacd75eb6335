#include "io/ibd_lookup.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "io/text_encoding.h"

namespace imn::io {

namespace {

namespace fs = std::filesystem;

fs::path from_utf8(const std::string& text) { return fs::path(std::u8string(text.begin(), text.end())); }

std::string as_utf8(const fs::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

fs::path usual_name(fs::path imzml) { return imzml.replace_extension(".ibd"); }

// The ibd file in the same folder, regardless of case.
std::optional<std::string> beside(const fs::path& path) {
  const fs::path usual = usual_name(path);
  std::error_code error;
  if (fs::exists(usual, error)) return as_utf8(usual);

  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  // Lower-casing ASCII letters suffices: extensions are ASCII, and an exactly equal stem is preferred.
  const std::string wanted = lower_ascii(as_utf8(usual.filename()));
  const std::string stem = as_utf8(path.stem());
  std::vector<std::string> found;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (lower_ascii(as_utf8(it->path().filename())) == wanted) {
      found.push_back(as_utf8(path.has_parent_path() ? it->path() : it->path().filename()));
    }
  }
  if (found.empty()) return std::nullopt;
  // Among several spellings prefer the same stem, then the first by name, so that the choice is stable.
  std::sort(found.begin(), found.end());
  std::stable_partition(found.begin(), found.end(),
                        [&](const std::string& f) { return as_utf8(from_utf8(f).stem()) == stem; });
  return found.front();
}

}  // namespace

bool is_ibd_name(const std::string& path) { return lower_ascii(as_utf8(from_utf8(path).extension())) == ".ibd"; }

std::string find_ibd(const std::string& imzml_path) {
  const fs::path path = from_utf8(imzml_path);
  if (const auto found = beside(path)) return *found;
  // A link into a data store: the pair may lie together there.
  std::string tried = as_utf8(usual_name(path));
  std::error_code error;
  if (fs::is_symlink(path, error)) {
    const fs::path target = fs::canonical(path, error);
    if (!error) {
      if (const auto found = beside(target)) return *found;
      tried += ", " + as_utf8(usual_name(target));
    }
  }
  throw FileError(imzml_path, "its ibd file is missing; tried " + tried +
                                  " and every spelling of that name in upper and lower case; name it with --ibd FILE "
                                  "(Python: ibd_path=)");
}

}  // namespace imn::io
