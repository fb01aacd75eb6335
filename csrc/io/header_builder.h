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
      case Element::precursor:
        return true;
      case Element::scan:
        return pixels_.follows_scans() || !settings_of_.empty() || !attributes[Attribute::source_file_ref].empty();
      case Element::cv_param:
        return in_array_ || attributes.term() != Term::unknown;
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
    std::int64_t integer;  // for a filter string, its number in filters_
    double real = 0.0;     // of scan windows
  };
  // What a spectrum has said about its kind so far.
  struct Stated {
    std::int32_t level = 0;
    bool ms1 = false, msn = false, precursor = false, light = false, positive = false, negative = false,
         profile = false, centroid = false;
    std::uint16_t source = 0, settings = 0, filter = 0;
    double window_lo = 0.0, window_hi = 0.0;
  };
  // Scan windows are the same text in nearly all spectra.
  struct LastReal {
    std::string text;
    double value = 0.0;
    double operator()(std::string_view given) {
      if (given != text) {
        text = given;
        value = parse_real(given);
      }
      return value;
    }
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
  Param param_of(Term term, std::string_view value);
  void apply(const Param& param);
  void apply_group(std::string_view id);
  const Group* find_group(std::string_view id);
  void set_dtype(Term term, Term named, bool is_signed);
  void end_array();
  void end_spectrum();
  void begin_spectrum(const Attributes& attributes);
  void begin_run(const Attributes& attributes);
  void begin_scan(const Attributes& attributes);
  ScanKind kind_of_spectrum();
  void finish_kinds();
  std::uint16_t settings_of(std::string_view instrument);
  std::int64_t default_length_or_absent() const { return default_length_ > 0 ? default_length_ : kAbsent; }
  std::uint8_t format_index(const ArrayFormat& format);

  const std::string& path_;
  std::size_t size_;
  Extent extent_;
  Header header_;
  std::unordered_map<std::string, Group, Hash, std::equal_to<>> groups_;
  // The groups that spectra have referred to so far, the first few of them: comparing is quicker than hashing.
  std::vector<std::pair<std::string_view, const Group*>> used_groups_;
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

  Stated stated_;
  KindTable kinds_;
  TextTable runs_, sources_, settings_, filters_;
  std::vector<FilterFacts> filter_facts_{1};  // by number in filters_
  LastReal window_lo_, window_hi_;
  std::uint16_t run_ = 0, run_source_ = 0, run_settings_ = 0;
  // Names of source files and scan settings of instrument configurations, by id.
  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> source_names_, settings_of_;
  // Polarities that the head states, outside and inside of its parameter groups.
  struct Stances {
    bool positive = false, negative = false;
    void add(Term term) { (term == Term::positive ? positive : negative) = true; }
  };
  Stances head_polarity_, group_polarity_;
};

}  // namespace imn::io
