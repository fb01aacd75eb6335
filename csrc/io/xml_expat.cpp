#include "io/xml_expat.h"

#include <expat.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "io/text_encoding.h"
#include "io/xml_declaration.h"
#include "io/xml_limits.h"

namespace imn::io {

namespace {

// Large buffers: expat rescans a token that crosses the end of a buffer.
constexpr std::size_t kBufferBytes = std::size_t{1} << 28;

struct State {
  XML_Parser parser;
  const std::string& path;
  HeaderBuilder& builder;
  std::size_t depth = 0;
  bool stopped = false;
  std::exception_ptr error;
  Attributes attributes;

  // Exceptions must not cross expat's C frames, so they are kept here until XML_Parse has returned.
  template <typename Body>
  void guarded(Body&& body) {
    if (error || stopped) return;
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
    if (error || stopped) XML_StopParser(parser, XML_FALSE);
  }
};

void on_start(void* user, const XML_Char* name, const XML_Char** pairs) {
  auto& state = *static_cast<State*>(user);
  state.guarded([&] {
    if (++state.depth > kMaxDepth) {
      throw FileError(state.path, "its XML is nested deeper than " + std::to_string(kMaxDepth) + " elements");
    }
    state.attributes.clear();
    for (; pairs[0] != nullptr; pairs += 2) {
      const Attribute attribute = classify_attribute(pairs[0]);
      if (attribute != Attribute::other) state.attributes.set(attribute, pairs[1]);
    }
    if (!state.builder.start(classify_element(without_prefix(name)), state.attributes)) state.stopped = true;
  });
}

void on_end(void* user, const XML_Char* name) {
  auto& state = *static_cast<State*>(user);
  state.guarded([&] {
    --state.depth;
    state.builder.end(classify_element(without_prefix(name)));
  });
}

void on_entity(void* user, const XML_Char*, int, const XML_Char* value, int length, const XML_Char*, const XML_Char*,
               const XML_Char*, const XML_Char*) {
  auto& state = *static_cast<State*>(user);
  state.guarded([&] {
    if (value == nullptr) throw FileError(state.path, "it declares an external entity, which is not allowed");
    const std::string_view text(value, static_cast<std::size_t>(std::max(length, 0)));
    if (length > kMaxEntityLength || text.find_first_of("&%<") != std::string_view::npos) {
      throw FileError(state.path, "it declares an entity that could multiply its text, which is not allowed");
    }
  });
}

int on_unknown_encoding(void*, const XML_Char* name, XML_Encoding* info) {
  const std::string encoding = usual_encoding(name);
  char32_t (*code_point)(unsigned char) = nullptr;
  if (encoding == "windows-1252") code_point = windows_1252;
  if (encoding == "iso-8859-15") code_point = iso_8859_15;
  if (code_point == nullptr) return XML_STATUS_ERROR;
  for (int byte = 0; byte < 256; ++byte) {
    info->map[byte] = static_cast<int>(code_point(static_cast<unsigned char>(byte)));
  }
  info->data = nullptr;
  info->convert = nullptr;
  info->release = nullptr;
  return XML_STATUS_OK;
}

}  // namespace

void parse_with_expat(std::string_view text, const std::string& path, HeaderBuilder& builder) {
  // expat accepts exactly one spelling of each of these three.
  const std::string encoding = usual_encoding(declared_encoding(text).value_or(""));
  const bool known = encoding == "utf-8" || encoding == "us-ascii" || encoding == "iso-8859-1";
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, decltype(&XML_ParserFree)> parser(
      XML_ParserCreate(known ? encoding.c_str() : nullptr), &XML_ParserFree);
  if (!parser) throw Error("out of memory");
  State state{parser.get(), path, builder, 0, false, {}, {}};
  XML_SetUserData(parser.get(), &state);
  XML_SetElementHandler(parser.get(), on_start, on_end);
  XML_SetEntityDeclHandler(parser.get(), on_entity);
  XML_SetUnknownEncodingHandler(parser.get(), on_unknown_encoding, nullptr);
  for (std::size_t at = 0;;) {
    const std::size_t size = std::min(kBufferBytes, text.size() - at);
    const bool last = at + size == text.size();
    const XML_Status status = XML_Parse(parser.get(), text.data() + at, static_cast<int>(size), last ? 1 : 0);
    if (state.error) std::rethrow_exception(state.error);
    if (state.stopped) return;
    if (status != XML_STATUS_OK) {
      throw FileError(path, std::string("not readable as XML: ") + XML_ErrorString(XML_GetErrorCode(parser.get())) +
                                " (line " + std::to_string(XML_GetCurrentLineNumber(parser.get())) + ")");
    }
    at += size;
    if (last) return;
  }
}

}  // namespace imn::io
