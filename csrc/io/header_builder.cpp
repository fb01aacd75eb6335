#include "io/header_builder.h"

#include <algorithm>

#include "core/error.h"
#include "io/text_encoding.h"

namespace imn::io {

namespace {

constexpr std::size_t kMaxListed = 64;         // instruments, software ...: enough to describe the file
constexpr std::int64_t kMostLevels = 20;       // instruments stop at MS10 or so
constexpr std::size_t kSmallestSpectrum = 64;  // bytes of XML; only a hint for reserve()

bool is_dtype(Term term) { return term >= Term::int8 && term <= Term::float64; }
bool is_integer_param(Term term) {
  return term == Term::external_offset || term == Term::external_length || term == Term::external_encoded ||
         term == Term::ms_level || (term >= Term::position_x && term <= Term::position_z);
}

// Recognises "32-bit float" and similar unofficial names.
Term dtype_by_name(std::string_view name) {
  const bool real = name.find("float") != std::string_view::npos || name.find("double") != std::string_view::npos;
  const bool integer = name.find("int") != std::string_view::npos;
  if (real == integer) return Term::unknown;
  if (name.find("64") != std::string_view::npos) return real ? Term::float64 : Term::int64;
  if (name.find("32") != std::string_view::npos) return real ? Term::float32 : Term::int32;
  if (name.find("16") != std::string_view::npos) return real ? Term::float16 : Term::int16;
  if (name.find('8') != std::string_view::npos && integer) return Term::int8;
  return Term::unknown;
}

// The vocabulary does not say whether integers are signed. 8 and 16 bits, typical of detector counts, are read as
// unsigned, 32 and 64 bits as signed, unless the name says otherwise.
bool signed_by_name(std::string_view name, Term term) {
  if (name.find("unsigned") != std::string_view::npos || name.find("uint") != std::string_view::npos) return false;
  if (name.find("signed") != std::string_view::npos) return true;
  return term != Term::int8 && term != Term::int16;
}

void add_listed(std::vector<std::string>& list, std::string text) {
  if (!text.empty() && list.size() < kMaxListed && std::find(list.begin(), list.end(), text) == list.end()) {
    list.push_back(std::move(text));
  }
}

std::string name_and_value(const Attributes& a) {
  std::string text = to_utf8(a[Attribute::name]);
  if (!a[Attribute::value].empty()) text.append(text.empty() ? "" : ": ").append(to_utf8(a[Attribute::value]));
  return text;
}

}  // namespace

HeaderBuilder::HeaderBuilder(const std::string& path, std::size_t size, Extent extent)
    : path_(path), size_(size), extent_(extent) {}

bool HeaderBuilder::start(Element element, const Attributes& a) {
  switch (element) {
    case Element::cv_param:
      cv_param(a);
      return true;
    case Element::param_group_ref:
      if (open_group_ == nullptr) apply_group(a[Attribute::ref]);
      return true;
    case Element::binary_data_array:
      if (in_spectrum_ && !in_array_) {
        in_array_ = true;
        array_ = {};
        // imzML writes 0 or omits it; the length is in IMS:1000103.
        const std::int64_t length = parse_integer(a[Attribute::array_length]);
        if (length > 0) array_.length = length;
      }
      return true;
    case Element::spectrum:
      begin_spectrum(a);
      default_length_ = parse_integer(a[Attribute::default_array_length]);
      return true;
    case Element::scan:
      if (in_spectrum_) begin_scan(a);
      if (pixels_.follows_scans()) pixels_.scan(a);
      return true;
    case Element::precursor:
      stated_.precursor = true;
      return true;
    case Element::run:
      if (!in_spectrum_) {
        begin_run(a);
        pixels_.run(a);
      }
      if (!root_seen_) throw FileError(path_, "not an imzML file: its root element is not mzML");
      return true;
    case Element::param_group:
      if (in_spectrum_) return true;
      open_group_id_ = a[Attribute::id];
      open_group_ = &groups_[open_group_id_];
      return true;
    case Element::spectrum_list: {
      if (in_spectrum_) return true;
      list_seen_ = true;
      const std::int64_t count = parse_integer(a[Attribute::count]);
      // Several runs have a list each.
      if (count >= 0) header_.declared_count = std::max<std::int64_t>(header_.declared_count, 0) + count;
      if (extent_ == Extent::head) return false;
      const auto n = static_cast<std::size_t>(
          std::clamp<std::int64_t>(count, 0, static_cast<std::int64_t>(size_ / kSmallestSpectrum)));
      for (auto* column :
           {&header_.x, &header_.y, &header_.z, &header_.mz.offset, &header_.mz.length, &header_.mz.encoded,
            &header_.intensity.offset, &header_.intensity.length, &header_.intensity.encoded}) {
        column->reserve(n);
      }
      header_.kind.reserve(n);
      header_.mz.format.reserve(n);
      header_.intensity.format.reserve(n);
      return true;
    }
    case Element::software: {
      if (in_spectrum_) return true;
      std::string text = to_utf8(a[Attribute::id]);
      if (!a[Attribute::version].empty()) text.append(" ").append(to_utf8(a[Attribute::version]));
      add_listed(header_.text.software, std::move(text));
      return true;
    }
    case Element::source_file: {
      if (in_spectrum_) return true;
      const std::string_view named = a[Attribute::name].empty() ? a[Attribute::id] : a[Attribute::name];
      add_listed(header_.text.source_files, to_utf8(named));
      source_names_.emplace(a[Attribute::id], to_utf8(named));
      return true;
    }
    case Element::instrument:
      in_instrument_ = !in_spectrum_;
      if (in_instrument_) {
        pixels_.instrument(a);
        if (!a[Attribute::scan_settings_ref].empty()) {
          settings_of_.emplace(a[Attribute::id], to_utf8(a[Attribute::scan_settings_ref]));
        }
      }
      return true;
    case Element::scan_settings:
      if (!in_spectrum_) pixels_.begin_settings(a[Attribute::id]);
      return true;
    case Element::mzml:
    case Element::indexed_mzml:
      root_seen_ = true;
      return true;
    default:
      if (!root_seen_) throw FileError(path_, "not an imzML file: its root element is not mzML");
      return true;
  }
}

void HeaderBuilder::end(Element element) {
  switch (element) {
    case Element::binary_data_array:
      if (in_array_) end_array();
      break;
    case Element::spectrum:
      if (in_spectrum_) end_spectrum();
      break;
    case Element::param_group:
      open_group_ = nullptr;
      break;
    case Element::instrument:
      in_instrument_ = false;
      break;
    case Element::scan_settings:
      pixels_.end_settings();
      break;
    default:
      break;
  }
}

void HeaderBuilder::cv_param(const Attributes& a) {
  const std::string_view accession = a[Attribute::accession];
  const Term term = a.term();
  if (!accession.empty() && accession.front() == 'I') header_.imaging = true;
  if (open_group_ != nullptr) {
    if (pixels_.take_in_group(open_group_id_, term, a)) return;
    group_param(term, a);
    head_param(term, a);
  } else if (in_array_) {
    array_param(term, a);
  } else if (in_spectrum_) {
    if (term != Term::unknown) spectrum_param(term, a[Attribute::value]);
  } else if (in_instrument_) {
    add_listed(header_.text.instruments, name_and_value(a));
  } else if (!pixels_.take(term, a)) {
    head_param(term, a);
  }
}

void HeaderBuilder::group_param(Term term, const Attributes& a) {
  if (term == Term::unknown) {
    if (open_group_->names.size() < kMaxListed) open_group_->names.push_back(name_and_value(a));
    return;
  }
  Param param = param_of(term, a[Attribute::value]);
  if (is_dtype(term)) {
    param.named_dtype = dtype_by_name(a[Attribute::name]);
    param.is_signed = signed_by_name(a[Attribute::name], term);
  }
  auto& params = open_group_->params;
  const auto same = std::find_if(params.begin(), params.end(), [term](const Param& p) { return p.term == term; });
  // A later value replaces an earlier one, as it would inline.
  if (same != params.end()) params.erase(same);
  params.push_back(param);
}

void HeaderBuilder::head_param(Term term, const Attributes& a) {
  HeadText& text = header_.text;
  const std::string_view value = a[Attribute::value];
  auto once = [](std::string& field, std::string found) {
    if (field.empty()) field = std::move(found);
  };
  switch (term) {
    case Term::continuous:
      return once(text.mode, "continuous");
    case Term::processed:
      return once(text.mode, "processed");
    case Term::profile:
      return once(text.spectrum_type, "profile");
    case Term::centroid:
      return once(text.spectrum_type, "centroid");
    case Term::uuid:
      return once(text.uuid, to_utf8(value));
    case Term::ibd_md5:
      return once(text.md5, to_utf8(value));
    case Term::ibd_sha1:
      return once(text.sha1, to_utf8(value));
    case Term::ibd_sha256:
      return once(text.sha256, to_utf8(value));
    case Term::positive:
    case Term::negative:
      return (open_group_ != nullptr ? group_polarity_ : head_polarity_).add(term);
    case Term::other_array:
      add_listed(text.other_arrays, name_and_value(a));
      return;
    default:
      return;
  }
}

void HeaderBuilder::set_dtype(Term term, Term named, bool is_signed) {
  array_.format.dtype = term;
  array_.format.named_dtype = named;
  array_.format.is_signed = is_signed;
}

void HeaderBuilder::array_param(Term term, const Attributes& a) {
  if (term == Term::unknown) {
    // A kind of array that is missing from the list of terms is still neither m/z nor intensity.
    if (array_.kind == Term::unknown && a[Attribute::name].ends_with(" array")) {
      array_.kind = Term::other_array;
      add_listed(header_.text.other_arrays, name_and_value(a));
    }
    return;
  }
  if (is_dtype(term)) {
    set_dtype(term, dtype_by_name(a[Attribute::name]), signed_by_name(a[Attribute::name], term));
  } else {
    if (term == Term::other_array) add_listed(header_.text.other_arrays, name_and_value(a));
    apply({term, Term::unknown, true, is_integer_param(term) ? parse_integer(a[Attribute::value]) : kAbsent});
  }
}

void HeaderBuilder::spectrum_param(Term term, std::string_view value) { apply(param_of(term, value)); }

HeaderBuilder::Param HeaderBuilder::param_of(Term term, std::string_view value) {
  Param param{term, Term::unknown, true, kAbsent};
  if (is_integer_param(term)) {
    param.integer = parse_integer(value);
  } else if (term == Term::filter_string) {
    param.integer = filters_.index(value);
    if (filter_facts_.size() < filters_.size()) filter_facts_.push_back(read_filter(filters_.all().back()));
  } else if (term == Term::window_lower) {
    param.real = window_lo_(value);
  } else if (term == Term::window_upper) {
    param.real = window_hi_(value);
  }
  return param;
}

void HeaderBuilder::apply(const Param& p) {
  switch (p.term) {
    case Term::external_offset:
      array_.offset = p.integer;
      return;
    case Term::external_length:
      array_.length = p.integer;
      return;
    case Term::external_encoded:
      array_.encoded = p.integer;
      return;
    case Term::mz_array:
    case Term::intensity_array:
    case Term::other_array:
      array_.kind = p.term;
      return;
    case Term::no_compression:
    case Term::zlib:
    case Term::other_compression:
      array_.format.compression = p.term;
      return;
    case Term::position_x:
      x_ = p.integer;
      return;
    case Term::position_y:
      y_ = p.integer;
      return;
    case Term::position_z:
      z_ = p.integer;
      return;
    case Term::profile:
      stated_.profile = true;
      return;
    case Term::centroid:
      stated_.centroid = true;
      return;
    case Term::positive:
      stated_.positive = true;
      return;
    case Term::negative:
      stated_.negative = true;
      return;
    case Term::ms_level:
      // Converters write 0 where they do not know the level.
      stated_.level = p.integer > 0 && p.integer <= kMostLevels ? static_cast<std::int32_t>(p.integer) : 0;
      return;
    case Term::ms1_spectrum:
      stated_.ms1 = true;
      return;
    case Term::msn_spectrum:
      stated_.msn = true;
      return;
    case Term::light_spectrum:
      stated_.light = true;
      return;
    case Term::filter_string:
      stated_.filter = static_cast<std::uint16_t>(p.integer);
      return;
    // A scan may have several windows; the range is what they span.
    case Term::window_lower:
      if (p.real >= 0.0) stated_.window_lo = stated_.window_lo > 0.0 ? std::min(stated_.window_lo, p.real) : p.real;
      return;
    case Term::window_upper:
      if (p.real >= 0.0) stated_.window_hi = std::max(stated_.window_hi, p.real);
      return;
    default:
      if (is_dtype(p.term)) set_dtype(p.term, p.named_dtype, p.is_signed);
  }
}

const HeaderBuilder::Group* HeaderBuilder::find_group(std::string_view id) {
  constexpr std::size_t kMostUsed = 8;
  for (const auto& [name, group] : used_groups_) {
    if (name == id) return group;
  }
  const auto found = groups_.find(id);
  if (found == groups_.end()) return nullptr;
  // Elements of the map stay where they are.
  if (in_spectrum_ && used_groups_.size() < kMostUsed) used_groups_.emplace_back(found->first, &found->second);
  return &found->second;
}

void HeaderBuilder::apply_group(std::string_view id) {
  if (!in_spectrum_ && !in_instrument_) return pixels_.refer_to_group(id);
  const Group* group = find_group(id);
  if (group == nullptr) return;
  if (in_spectrum_) {
    for (const Param& param : group->params) apply(param);
  } else {
    for (const std::string& name : group->names) add_listed(header_.text.instruments, name);
  }
}

void HeaderBuilder::begin_spectrum(const Attributes& a) {
  in_spectrum_ = true;
  open_group_ = nullptr;  // still open only if the head is malformed
  pixels_.end_settings();
  in_instrument_ = false;
  in_array_ = has_mz_ = has_intensity_ = false;
  stated_ = {};
  const std::string_view source = a[Attribute::source_file_ref];
  stated_.source = source.empty() ? run_source_ : sources_.index(source);
  stated_.settings = run_settings_;
  other_arrays_ = 0;
  array_ = {};
  x_ = y_ = z_ = kAbsent;
}

void HeaderBuilder::end_array() {
  in_array_ = false;
  if (array_.kind == Term::mz_array && !has_mz_) {
    mz_ = array_;
    has_mz_ = true;
  } else if (array_.kind == Term::intensity_array && !has_intensity_) {
    intensity_ = array_;
    has_intensity_ = true;
  } else {
    ++other_arrays_;
  }
}

std::uint8_t HeaderBuilder::format_index(const ArrayFormat& f) {
  auto& formats = header_.formats;
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const ArrayFormat& g = formats[i];
    if (g.dtype == f.dtype && g.named_dtype == f.named_dtype && g.compression == f.compression &&
        g.is_signed == f.is_signed) {
      return static_cast<std::uint8_t>(i);
    }
  }
  // All combinations of the known terms fit, so no meaningful file gets here.
  if (formats.size() >= kNoFormat) throw FileError(path_, "its arrays are declared in too many different ways");
  formats.push_back(f);
  return static_cast<std::uint8_t>(formats.size() - 1);
}

void HeaderBuilder::end_spectrum() {
  in_spectrum_ = in_array_ = false;
  if (!header_.imaging) throw FileError(path_, "an mzML file, but not imzML: it contains no imaging terms");
  auto add = [this](ArrayColumn& column, const Array& array, bool present) {
    column.offset.push_back(present ? array.offset : kAbsent);
    column.length.push_back(present ? (array.length == kAbsent ? default_length_or_absent() : array.length) : kAbsent);
    column.encoded.push_back(present ? array.encoded : kAbsent);
    column.format.push_back(present ? format_index(array.format) : kNoFormat);
  };
  add(header_.mz, mz_, has_mz_);
  add(header_.intensity, intensity_, has_intensity_);
  // A spectrum whose arrays are all of unknown kinds is not empty.
  if (!has_mz_ && !has_intensity_ && other_arrays_ > 0) header_.mz.length.back() = kUnreadable;
  header_.other_arrays += other_arrays_;
  header_.x.push_back(x_);
  header_.y.push_back(y_);
  header_.z.push_back(z_);
  header_.kind.push_back(kinds_.index(kind_of_spectrum()));
}

Header HeaderBuilder::finish() {
  if (!root_seen_) throw FileError(path_, "not an imzML file: it contains no mzML element");
  if (!header_.imaging) throw FileError(path_, "an mzML file, but not imzML: it contains no imaging terms");
  if (!list_seen_) throw FileError(path_, "the file contains no list of spectra");
  header_.text.pixels = pixels_.decide();
  finish_kinds();
  return std::move(header_);
}

}  // namespace imn::io
