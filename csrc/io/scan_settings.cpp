#include "io/scan_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "io/parse_number.h"
#include "io/text_encoding.h"

namespace imn::io {

namespace {

// Beyond these, in micrometres, a pixel size is more likely a wrong unit: SIMS reaches 0.1 um, a coarse survey 1 mm.
constexpr double kSmallestPixel = 0.05;
constexpr double kLargestPixel = 5000.0;
// An extent is stated as count x size, as (count - 1) x size, and rounded in either case.
constexpr double kExtentSlack = 1.25;

struct Unit {
  std::string_view accession;
  double micrometres;
  std::array<std::string_view, 5> names;
};
constexpr std::array<Unit, 5> kUnits = {{
    {"UO:0000008", 1e6, {"meter", "metre", "m", "meters", "metres"}},
    {"UO:0000015", 1e4, {"centimeter", "centimetre", "cm", "centimeters", "centimetres"}},
    {"UO:0000016", 1e3, {"millimeter", "millimetre", "mm", "millimeters", "millimetres"}},
    {"UO:0000017", 1.0, {"micrometer", "micrometre", "um", "\u00b5m", "\u03bcm"}},
    {"UO:0000018", 1e-3, {"nanometer", "nanometre", "nm", "nanometers", "nanometres"}},
}};

std::string number(double value) {
  std::array<char, 32> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::general, 6);
  return {buffer.data(), result.ptr};
}

double factor_of_name(std::string name) {
  name = lower_ascii(name);
  if (name == "micron" || name == "microns" || name == "micrometers" || name == "micrometres") return 1.0;
  for (const Unit& unit : kUnits) {
    if (std::find(unit.names.begin(), unit.names.end(), name) != unit.names.end()) return unit.micrometres;
  }
  return 0.0;
}

enum class Reading { absent, plain, length, problem };

// A length read with its unit. plain: no unit is stated.
struct Read {
  Reading kind = Reading::absent;
  double value = 0.0;  // micrometres; as written if plain
  std::string problem;
};

Read read(const DeclaredLength& d, const char* what) {
  const double value = parse_real(d.value);
  if (!(value > 0.0) || !std::isfinite(value)) return {};
  if (d.unit_accession.empty() && d.unit_name.empty()) return {Reading::plain, value, {}};
  const auto* by_accession =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& unit) { return unit.accession == d.unit_accession; });
  const double from_accession = by_accession == kUnits.end() ? 0.0 : by_accession->micrometres;
  const double from_name = factor_of_name(d.unit_name);
  const std::string stated =
      std::string(what) + " " + d.value + " is stated in '" +
      (d.unit_name.empty() ? d.unit_accession
                           : d.unit_name + (d.unit_accession.empty() ? "" : "' (" + d.unit_accession + ")")) +
      (d.unit_name.empty() || d.unit_accession.empty() ? "'" : "");
  if (!d.unit_accession.empty() && !d.unit_name.empty() && from_accession != from_name) {
    if (from_accession > 0.0 && from_name > 0.0) {
      return {Reading::problem, value, stated + ", two different units"};
    }
    // A name in another language or spelling does not contradict a known accession; an area does.
    const std::string name = lower_ascii(d.unit_name);
    const bool area = name.find("square") != std::string::npos || name.find("area") != std::string::npos ||
                      name.find('2') != std::string::npos || name.find("\u00b2") != std::string::npos;
    if (from_accession > 0.0 && !area) return {Reading::length, value * from_accession, {}};
    return {Reading::problem, value, stated + ", which is not a unit of length"};
  }
  const double factor = std::max(from_accession, from_name);
  if (factor == 0.0) return {Reading::problem, value, stated + ", which is not a unit of length"};
  return {Reading::length, value * factor, {}};
}

double count_of(const std::string& text) {
  const std::int64_t n = parse_integer(text);
  return n > 0 ? static_cast<double>(n) : 0.0;
}

// The extent along one axis in micrometres; 0 if it is not stated, or is the number of pixels.
double extent(const DeclaredLength& d, double count) {
  const Read found = read(d, "the extent");
  if (found.kind == Reading::absent || found.kind == Reading::problem) return 0.0;
  const double written = parse_real(d.value);
  if (written == count || written == count - 1.0) return 0.0;
  if (found.kind == Reading::plain && count == 0.0) return 0.0;
  return found.value;
}

bool extent_fits(double size, double extent, double count) {
  return extent >= (count - 1.0) * size / kExtentSlack && extent <= (count + 1.0) * size * kExtentSlack;
}

bool same_length(double a, double b) { return std::abs(a - b) <= 1e-3 * std::max(a, b); }

struct PixelSize {
  std::optional<std::pair<double, double>> size, extent;
  std::string problem;
};

std::string size_text(const std::pair<double, double>& size) {
  return number(size.first) + " x " + number(size.second) + " um (width x height)";
}

PixelSize decide_size(const ScanSettings& s) {
  const double count_x = count_of(s.max_count_x), count_y = count_of(s.max_count_y);
  const double extent_x = extent(s.dimension_x, count_x), extent_y = extent(s.dimension_y, count_y);
  // Width and height by extent and count; 0 where unknown.
  double by_x = count_x > 0.0 ? extent_x / count_x : 0.0, by_y = count_y > 0.0 ? extent_y / count_y : 0.0;
  if (by_x <= 0.0) by_x = by_y;
  if (by_y <= 0.0) by_y = by_x;
  const Read x = read(s.pixel_x, "pixel size x"), y = read(s.pixel_y, "pixel size y");
  PixelSize out;
  if (extent_x > 0.0 && extent_y > 0.0) out.extent = std::pair{extent_x, extent_y};
  auto by_extent = [&] { out.size = std::pair{by_x, by_y}; };

  if (x.kind == Reading::problem || y.kind == Reading::problem) {
    const Read& bad = x.kind == Reading::problem ? x : y;
    // An area that the extent confirms is no contradiction.
    if (by_x > 0.0 && y.kind == Reading::absent && same_length(x.value, by_x * by_y)) {
      by_extent();
    } else {
      out.problem = bad.problem;
    }
    return out;
  }
  if (x.kind == Reading::absent && y.kind == Reading::absent) {
    if (by_x > 0.0) by_extent();
    const Read width = read(s.dimension_x, "max dimension x"), height = read(s.dimension_y, "max dimension y");
    if (!out.size && (width.kind == Reading::problem || height.kind == Reading::problem)) {
      out.problem = width.kind == Reading::problem ? width.problem : height.problem;
    } else if (!out.size && (width.kind != Reading::absent || height.kind != Reading::absent)) {
      out.problem = count_x > 0.0 || count_y > 0.0 ? "max dimension is the number of pixels rather than a length"
                                                   : "max dimension is stated without the number of pixels";
    }
    return out;
  }
  // A single size means square pixels.
  const Read& wide = x.kind == Reading::absent ? y : x;
  const Read& high = y.kind == Reading::absent ? x : y;
  const bool plain = wide.kind == Reading::plain && high.kind == Reading::plain;
  // What some writers state if they know no size.
  if (plain && wide.value == 1.0 && high.value == 1.0) {
    if (by_x > 0.0 && read(s.dimension_x, "").kind == Reading::length) by_extent();
    return out;
  }
  const std::string name = lower_ascii(s.pixel_x.name);
  if (y.kind == Reading::absent && x.kind == Reading::plain && name == "pixel size" && x.value != 1.0) {
    if (by_x <= 0.0) {
      out.problem = "a single 'pixel size' of " + s.pixel_x.value + " without a unit may be a length or an area";
      return out;
    }
    if (same_length(x.value, by_x * by_y) && !same_length(x.value, by_x)) {
      by_extent();
      return out;
    }
  }
  out.size = std::pair{wide.value, high.value};
  const bool contradicted = (count_x > 1.0 && extent_x > 0.0 && !extent_fits(wide.value, extent_x, count_x)) ||
                            (count_y > 1.0 && extent_y > 0.0 && !extent_fits(high.value, extent_y, count_y));
  // Without a unit, an extent may count something else.
  const bool both_with_unit = wide.kind == Reading::length && high.kind == Reading::length &&
                              read(s.dimension_x, "").kind != Reading::plain &&
                              read(s.dimension_y, "").kind != Reading::plain;
  if (contradicted && both_with_unit) {
    out.problem = "a pixel size of " + size_text(*out.size) + " contradicts the extent of the section, " +
                  number(extent_x) + " x " + number(extent_y) + " um for " + s.max_count_x + " x " + s.max_count_y +
                  " pixels";
    out.size.reset();
  }
  return out;
}

std::string shown(const ScanSettings& s, const PixelSize& found) {
  std::string text = "'" + s.id + "': ";
  if (found.size) return text + size_text(*found.size);
  return text + (found.problem.empty() ? "no pixel size" : found.problem);
}

bool same_size(const PixelSize& a, const PixelSize& b) {
  if (!a.size || !b.size) return !a.size == !b.size && a.problem == b.problem;
  return same_length(a.size->first, b.size->first) && same_length(a.size->second, b.size->second);
}

bool states_size(const ScanSettings& s) { return !s.pixel_x.value.empty() || !s.pixel_y.value.empty(); }

}  // namespace

bool ScanSettings::take(Term term, const Attributes& a) {
  auto length = [&a] {
    return DeclaredLength{to_utf8(a[Attribute::value]), to_utf8(a[Attribute::name]),
                          to_utf8(a[Attribute::unit_accession]), to_utf8(a[Attribute::unit_name])};
  };
  switch (term) {
    case Term::max_count_x:
      max_count_x = to_utf8(a[Attribute::value]);
      return true;
    case Term::max_count_y:
      max_count_y = to_utf8(a[Attribute::value]);
      return true;
    case Term::pixel_size_x:
      pixel_x = length();
      return true;
    case Term::pixel_size_y:
      pixel_y = length();
      return true;
    case Term::max_dimension_x:
      dimension_x = length();
      return true;
    case Term::max_dimension_y:
      dimension_y = length();
      return true;
    default:
      return false;
  }
}

void ScanSettings::complete_with(const ScanSettings& other) {
  for (auto member : {&ScanSettings::max_count_x, &ScanSettings::max_count_y}) {
    if ((this->*member).empty()) this->*member = other.*member;
  }
  for (auto member :
       {&ScanSettings::pixel_x, &ScanSettings::pixel_y, &ScanSettings::dimension_x, &ScanSettings::dimension_y}) {
    if ((this->*member).value.empty()) this->*member = other.*member;
  }
}

bool ScanSettings::empty() const {
  return max_count_x.empty() && max_count_y.empty() && pixel_x.value.empty() && pixel_y.value.empty() &&
         dimension_x.value.empty() && dimension_y.value.empty();
}

DeclaredPixels decide_pixels(const std::vector<ScanSettings>& settings, const std::vector<std::string>& referenced) {
  DeclaredPixels out;
  std::vector<ScanSettings> candidates;
  for (const std::string& id : referenced) {
    for (const ScanSettings& s : settings) {
      if (!s.empty() && s.id == id) candidates.push_back(s);
    }
  }
  const bool by_reference = !candidates.empty();
  if (!by_reference) {
    std::copy_if(settings.begin(), settings.end(), std::back_inserter(candidates),
                 [](const ScanSettings& s) { return !s.empty(); });
  }
  if (candidates.empty()) return out;

  // Settings that state different things complete each other; those that state the same thing must agree.
  std::vector<PixelSize> sizes;
  for (const ScanSettings& s : candidates) sizes.push_back(decide_size(s));
  std::size_t first = 0;
  while (first + 1 < candidates.size() && !states_size(candidates[first])) ++first;
  bool agree = true;
  for (std::size_t i = first + 1; i < candidates.size(); ++i) {
    if (states_size(candidates[i]) && !same_size(sizes[first], sizes[i])) agree = false;
  }
  auto one_count = [&](std::string ScanSettings::* member) {
    std::string found;
    for (const ScanSettings& s : candidates) {
      if ((s.*member).empty()) continue;
      if (!found.empty() && found != s.*member) return std::string();
      found = s.*member;
    }
    return found;
  };
  out.max_count_x = one_count(&ScanSettings::max_count_x);
  out.max_count_y = one_count(&ScanSettings::max_count_y);
  if (!agree) {
    std::string text = "the file declares scan settings that contradict each other, ";
    for (std::size_t i = 0; i < candidates.size(); ++i) text += (i > 0 ? "; " : "") + shown(candidates[i], sizes[i]);
    out.warnings.push_back(
        text + (by_reference ? "; its scans refer to more than one of them" : "; it refers to none of them") +
        ", so the pixel size is unknown");
    return out;
  }
  ScanSettings whole = candidates[first];
  if (candidates.size() > 1) {
    for (const ScanSettings& s : candidates) whole.complete_with(s);
    whole.max_count_x = out.max_count_x;
    whole.max_count_y = out.max_count_y;
  }
  const PixelSize found = decide_size(whole);
  out.size_um = found.size;
  out.extent_um = found.extent;
  if (!found.problem.empty()) out.warnings.push_back(found.problem + "; the pixel size is unknown");
  if (found.size && (std::min(found.size->first, found.size->second) < kSmallestPixel ||
                     std::max(found.size->first, found.size->second) > kLargestPixel)) {
    out.warnings.push_back("the declared pixel size of " + size_text(*found.size) +
                           " is implausible, so that its unit may be wrong; the pixel size is unknown");
    out.size_um.reset();
  }
  return out;
}

}  // namespace imn::io
