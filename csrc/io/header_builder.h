// Turns XML events into a Header. Both parsers feed this builder.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/header.h"
#include "io/pixel_declarations.h"
#include "io/xml_events.h"

namespace imn::io {

class HeaderBuilder {
 public:
  // `size`: bytes of the file; limits how much is reserved, whatever the file announces.
  HeaderBuilder(const std::string& path, std::size_t size, Extent extent);

  // False: stop, everything requested has been read.
  bool start(Element element, const Attributes& attributes);
  void end(Element element);

  // Within a spectrum, whether the event would change anything here; other events need not be sent.
  bool uses(Element element, const Attributes& attributes) const {
    switch (element) {
      case Element::spectrum:
      case Element::binary_data_array:
      case Element::param_group_ref:
        return true;
      case Element::scan:
        return pixels_.follows_scans();
      case Element::cv_param:
        return in_array_ || classify_term(attributes[Attribute::accession]) != Term::unknown;
      default:
        return false;
    }
  }
  bool uses_end(Element element) const { return element == Element::spectrum || element == Element::binary_data_array; }
  // Call once, after the last event.
  Header finish();

 private:
  // A parameter group keeps the last value of each known term, so that its size stays bounded if terms repeat.
  struct Param {
    Term term;
    Term named_dtype;
    bool is_signed;
    std::int64_t integer;
  };
  struct Array {
    Term kind = Term::unknown;
    ArrayFormat format;
    std::int64_t offset = kAbsent, length = kAbsent, encoded = kAbsent;
  };
  struct Group {
    std::vector<Param> params;
    std::vector<std::string> names;  // of terms this reader does not act on; they describe instruments
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };

  void cv_param(const Attributes& attributes);
  void head_param(Term term, const Attributes& attributes);
  void group_param(Term term, const Attributes& attributes);
  void array_param(Term term, const Attributes& attributes);
  void spectrum_param(Term term, std::string_view value);
  void apply(const Param& param);
  void apply_group(std::string_view id);
  void set_dtype(Term term, Term named, bool is_signed);
  void end_array();
  void end_spectrum();
  void begin_spectrum();
  std::int64_t default_length_or_absent() const { return default_length_ > 0 ? default_length_ : kAbsent; }
  std::uint8_t format_index(const ArrayFormat& format);

  const std::string& path_;
  std::size_t size_;
  Extent extent_;
  Header header_;
  std::unordered_map<std::string, Group, Hash, std::equal_to<>> groups_;
  Group* open_group_ = nullptr;
  std::string open_group_id_;
  PixelDeclarations pixels_;

  bool root_seen_ = false;
  bool list_seen_ = false;
  bool in_array_ = false;
  bool in_spectrum_ = false;
  bool in_instrument_ = false;

  Array array_, mz_, intensity_;
  bool has_mz_ = false, has_intensity_ = false;
  std::int64_t x_ = kAbsent, y_ = kAbsent, z_ = kAbsent;
  std::int64_t default_length_ = kAbsent;
  std::int64_t other_arrays_ = 0;
  bool profile_ = false, centroid_ = false;
};

}  // namespace imn::io
