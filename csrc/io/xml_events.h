// The event interface of both XML parsers: element starts, with the attributes that matter, and element ends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "io/cv_terms.h"

namespace imn::io {

// Elements this reader knows; names are compared without their namespace prefix.
enum class Element : std::uint8_t {
  other,
  cv_param,
  user_param,
  param_group,
  param_group_ref,
  binary_data_array,
  binary_data_array_list,
  binary,
  scan,
  precursor,
  scan_list,
  spectrum,
  spectrum_list,
  run,
  mzml,
  indexed_mzml,
  file_content,
  scan_settings,
  software,
  source_file,
  instrument,
};

enum class Attribute : std::uint8_t {
  accession,
  name,
  value,
  ref,
  id,
  count,
  version,
  unit_accession,
  unit_name,
  array_length,
  default_array_length,
  scan_settings_ref,
  instrument_ref,  // of a scan, or the default of a run
  source_file_ref,
  default_source_file_ref,
  other,  // last: not stored
};

constexpr std::size_t kAttributeCount = static_cast<std::size_t>(Attribute::other);

// Values of the known attributes of one element; empty if absent. The views are valid until the event handler returns.
class Attributes {
 public:
  std::string_view operator[](Attribute a) const { return values_[static_cast<std::size_t>(a)]; }
  // The term of the accession, looked up once.
  Term term() const { return term_; }
  void set(Attribute a, std::string_view value) {
    values_[static_cast<std::size_t>(a)] = value;
    if (a == Attribute::accession) term_ = classify_term(value);
  }
  // For any attribute except the accession.
  void replace(Attribute a, std::string_view value) { values_[static_cast<std::size_t>(a)] = value; }
  void clear() {
    values_.fill({});
    term_ = Term::unknown;
  }

 private:
  std::array<std::string_view, kAttributeCount> values_{};
  Term term_ = Term::unknown;
};

constexpr std::string_view without_prefix(std::string_view name) {
  const auto colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

constexpr Element classify_element(std::string_view name) {
  switch (name.size()) {
    case 3:
      return name == "run" ? Element::run : Element::other;
    case 4:
      return name == "scan" ? Element::scan : name == "mzML" ? Element::mzml : Element::other;
    case 6:
      return name == "binary" ? Element::binary : Element::other;
    case 7:
      return name == "cvParam" ? Element::cv_param : Element::other;
    case 8:
      return name == "spectrum"   ? Element::spectrum
             : name == "scanList" ? Element::scan_list
             : name == "software" ? Element::software
                                  : Element::other;
    case 9:
      return name == "userParam" ? Element::user_param : name == "precursor" ? Element::precursor : Element::other;
    case 10:
      return name == "sourceFile" ? Element::source_file : Element::other;
    case 11:
      return name == "indexedmzML"   ? Element::indexed_mzml
             : name == "fileContent" ? Element::file_content
                                     : Element::other;
    case 12:
      return name == "spectrumList"   ? Element::spectrum_list
             : name == "scanSettings" ? Element::scan_settings
                                      : Element::other;
    case 15:
      return name == "binaryDataArray" ? Element::binary_data_array : Element::other;
    case 19:
      return name == "binaryDataArrayList" ? Element::binary_data_array_list : Element::other;
    case 23:
      return name == "referenceableParamGroup"   ? Element::param_group
             : name == "instrumentConfiguration" ? Element::instrument
                                                 : Element::other;
    case 26:
      return name == "referenceableParamGroupRef" ? Element::param_group_ref : Element::other;
    default:
      return Element::other;
  }
}

constexpr Attribute classify_attribute(std::string_view name) {
  switch (name.size()) {
    case 2:
      return name == "id" ? Attribute::id : Attribute::other;
    case 3:
      return name == "ref" ? Attribute::ref : Attribute::other;
    case 4:
      return name == "name" ? Attribute::name : Attribute::other;
    case 5:
      return name == "value" ? Attribute::value : name == "count" ? Attribute::count : Attribute::other;
    case 7:
      return name == "version" ? Attribute::version : Attribute::other;
    case 8:
      return name == "unitName" ? Attribute::unit_name : Attribute::other;
    case 9:
      return name == "accession" ? Attribute::accession : Attribute::other;
    case 11:
      return name == "arrayLength" ? Attribute::array_length : Attribute::other;
    case 13:
      return name == "unitAccession"   ? Attribute::unit_accession
             : name == "sourceFileRef" ? Attribute::source_file_ref
                                       : Attribute::other;
    case 15:
      return name == "scanSettingsRef" ? Attribute::scan_settings_ref : Attribute::other;
    case 18:
      return name == "defaultArrayLength" ? Attribute::default_array_length : Attribute::other;
    case 20:
      return name == "defaultSourceFileRef" ? Attribute::default_source_file_ref : Attribute::other;
    case 26:
      return name == "instrumentConfigurationRef" ? Attribute::instrument_ref : Attribute::other;
    case 33:
      return name == "defaultInstrumentConfigurationRef" ? Attribute::instrument_ref : Attribute::other;
    default:
      return Attribute::other;
  }
}

static_assert(classify_element("referenceableParamGroupRef") == Element::param_group_ref);
static_assert(classify_element("referenceableParamGroup") == Element::param_group);
static_assert(classify_element("binaryDataArrayList") == Element::binary_data_array_list);
static_assert(classify_attribute("defaultInstrumentConfigurationRef") == Attribute::instrument_ref);
static_assert(classify_attribute("instrumentConfigurationRef") == Attribute::instrument_ref);
static_assert(classify_attribute("defaultArrayLength") == Attribute::default_array_length);
static_assert(classify_attribute("defaultSourceFileRef") == Attribute::default_source_file_ref);

}  // namespace imn::io
