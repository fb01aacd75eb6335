#include "io/describe.h"

#include <array>
#include <charconv>

#include "io/bytes.h"

namespace imn::io {

namespace {

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : "; ") + item;
  return text;
}

// Shortest text that reads back as the same number.
std::string number(double value) {
  std::array<char, 32> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

}  // namespace

Declared describe(const Header& header) {
  const HeadText& text = header.text;
  Declared out;
  auto add = [&out](const char* key, const std::string& value) {
    if (!value.empty()) out.emplace_back(key, value);
  };
  add("mode", text.mode);
  add("spectrum_type", text.spectrum_type);
  if (header.declared_count != kAbsent) add("spectrum_count", std::to_string(header.declared_count));
  add("max_count_x", text.pixels.max_count_x);
  add("max_count_y", text.pixels.max_count_y);
  if (const auto& size = text.pixels.size_um) {
    add("pixel_size_x_um", number(size->first));
    add("pixel_size_y_um", number(size->second));
  }
  add("polarity", text.polarity);
  add("ms_level", text.ms_level);
  add("instrument", joined(text.instruments));
  add("software", joined(text.software));
  add("source_file", joined(text.source_files));
  add("other_arrays", joined(text.other_arrays));
  add("uuid", text.uuid);
  add("ibd_md5", text.md5);
  add("ibd_sha1", text.sha1);
  add("ibd_sha256", text.sha256);
  return out;
}

Declared read_head(const std::string& path) {
  const Bytes file(path, Access::sequential, Reading::watched);
  return describe(parse_header(file, Extent::head));
}

}  // namespace imn::io
