#include "io/header.h"

#include <string>
#include <string_view>

#include "core/error.h"
#include "io/header_builder.h"
#include "io/ibd_lookup.h"
#include "io/xml_declaration.h"
#include "io/xml_expat.h"
#include "io/xml_scanner.h"

namespace imn::io {

namespace {

Header parse(const Bytes& file, Extent extent, Parser parser) {
  const Held held = file.hold(0, file.size());
  const auto bytes = held.bytes();
  if (bytes.empty()) throw FileError(file.path(), "the file is empty");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (const auto kind = other_kind_of_file(text); !kind.empty()) throw FileError(file.path(), std::string(kind));
  if (parser != Parser::expat) {
    HeaderBuilder builder(file.path(), bytes.size(), extent);
    if (scan_xml(text, builder) != ScanOutcome::unrecognised) return builder.finish();
    if (parser == Parser::scanner) throw FileError(file.path(), "the scanner does not recognise this XML");
  }
  HeaderBuilder builder(file.path(), bytes.size(), extent);
  parse_with_expat(text, file.path(), builder);
  Header header = builder.finish();
  header.used_expat = true;
  return header;
}

}  // namespace

Header parse_header(const Bytes& file, Extent extent, Parser parser) {
  try {
    Header header = parse(file, extent, parser);
    file.require_size();
    return header;
  } catch (const FileError&) {
    file.require_size();
    if (!is_ibd_name(file.path())) throw;
    throw FileError(file.path(), "is the binary half of an imzML file; open the file that ends in .imzML");
  }
}

}  // namespace imn::io
