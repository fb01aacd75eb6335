#include "io/layout.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"

namespace imn::io {

namespace {

constexpr std::int64_t kWrap = std::int64_t{1} << 32;
constexpr std::int64_t kMostShrunk = 1100;  // upper bound on the bytes that one deflated byte expands to
constexpr std::int64_t kZlibFrame = 64;     // allowance in bytes for very short arrays

bool is_float(Term t) { return t == Term::float16 || t == Term::float32 || t == Term::float64; }

std::optional<DType> as_dtype(Term term, bool is_signed) {
  switch (term) {
    case Term::int8:
      return is_signed ? DType::i8 : DType::u8;
    case Term::int16:
      return is_signed ? DType::i16 : DType::u16;
    case Term::int32:
      return is_signed ? DType::i32 : DType::u32;
    case Term::int64:
      return is_signed ? DType::i64 : DType::u64;
    case Term::float32:
      return DType::f32;
    case Term::float64:
      return DType::f64;
    default:
      return std::nullopt;
  }
}

// Some writers store offsets through a 32-bit integer, so that they become negative or restart from zero in a large
// file. They are unwrapped if the result never decreases.
bool unwrap(std::vector<std::int64_t>& offsets, std::int64_t ibd_size) {
  bool negative = false, drop = false;
  std::int64_t previous = 0;
  for (const std::int64_t o : offsets) {
    if (o == kAbsent || o == kUnreadable) continue;
    if (o < -kWrap / 2 || o >= kWrap) return false;
    negative = negative || o < 0;
    drop = drop || previous - o > kWrap / 2;
    previous = o;
  }
  if (!negative && !(drop && ibd_size > kWrap)) return false;
  std::vector<std::int64_t> fixed = offsets;
  std::int64_t turns = 0, last = 0;
  for (std::int64_t& o : fixed) {
    if (o == kAbsent || o == kUnreadable) continue;
    o = (o < 0 ? o + kWrap : o) + turns;
    if (o < last) {
      o += kWrap;
      turns += kWrap;
    }
    last = o;
    if (o > ibd_size) return false;
  }
  offsets = std::move(fixed);
  return true;
}

std::string bytes_text(std::int64_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

}  // namespace

class LayoutResolver {
 public:
  LayoutResolver(Header& header, const Selection& selection, const std::string& imzml, const std::string& ibd,
                 std::int64_t ibd_size)
      : header_(header), selection_(selection), imzml_(imzml), ibd_(ibd), ibd_size_(ibd_size) {}

  Layout run(bool strict);

 private:
  // Returns the problem with a spectrum, or an empty string.
  std::string check(std::size_t i);
  std::string check_array(std::size_t i, ArrayColumn& column, const ArrayColumn& other, const char* what);
  std::optional<DType> type_by_length(std::size_t i, const ArrayFormat& f, const ArrayColumn& column,
                                      const ArrayColumn& other);
  std::int64_t gap(std::size_t i, const ArrayColumn& column, const ArrayColumn& other) const;
  void find_mode(Layout& out) const;

  Header& header_;
  const Selection& selection_;
  const std::string& imzml_;
  const std::string& ibd_;
  std::int64_t ibd_size_;
  bool past_the_end_ = false;  // the last check failed because the ibd is too short
  std::int64_t retyped_ = 0;
};

// Bytes to the next array in the file, judging by the neighbouring spectra.
std::int64_t LayoutResolver::gap(std::size_t i, const ArrayColumn& column, const ArrayColumn& other) const {
  std::int64_t nearest = ibd_size_;
  for (std::size_t k = i; k < std::min(i + 2, column.offset.size()); ++k) {
    for (const std::int64_t o : {column.offset[k], other.offset[k]}) {
      if (o > column.offset[i]) nearest = std::min(nearest, o);
    }
  }
  return nearest - column.offset[i];
}

std::optional<DType> LayoutResolver::type_by_length(std::size_t i, const ArrayFormat& f, const ArrayColumn& column,
                                                    const ArrayColumn& other) {
  const auto by_accession = as_dtype(f.dtype, f.is_signed);
  const auto by_name = as_dtype(f.named_dtype, f.is_signed);
  const auto declared = by_accession ? by_accession : by_name;
  const std::int64_t n = column.length[i];
  const std::int64_t encoded = column.encoded[i];
  if (n <= 0 || f.compression == Term::zlib) return n == 0 && !declared ? DType::f64 : declared;
  if (encoded <= 0) {  // unknown: only the neighbours can resolve a contradiction between accession and name
    if (by_accession && by_name && size_of(*by_accession) != size_of(*by_name) &&
        gap(i, column, other) == n * size_of(*by_name)) {
      ++retyped_;
      return by_name;
    }
    return declared;
  }
  if (encoded % n != 0) return std::nullopt;
  const std::int64_t size = encoded / n;
  if (by_accession && size_of(*by_accession) == size) return by_accession;
  ++retyped_;
  if (by_name && size_of(*by_name) == size) return by_name;
  const bool real = is_float(f.dtype) || (f.dtype == Term::unknown && !by_name);
  if (size == 8) return real ? DType::f64 : f.is_signed ? DType::i64 : DType::u64;
  if (size == 4) return real ? DType::f32 : f.is_signed ? DType::i32 : DType::u32;
  if (size == 2 && !real) return DType::u16;
  if (size == 1 && !real) return DType::u8;
  return std::nullopt;
}

std::string LayoutResolver::check_array(std::size_t i, ArrayColumn& column, const ArrayColumn& other,
                                        const char* what) {
  const std::string array = std::string("its ") + what + " array ";
  if (column.format[i] == kNoFormat) return "it has no " + std::string(what) + " array";
  const ArrayFormat& f = header_.formats[column.format[i]];
  std::int64_t& n = column.length[i];
  std::int64_t& encoded = column.encoded[i];
  if (f.compression == Term::other_compression) return array + "uses a compression that is not supported";
  if (n == kUnreadable || encoded == kUnreadable || column.offset[i] == kUnreadable) {
    return array + "has an offset or length that is not an integer";
  }
  const bool zlib = f.compression == Term::zlib;
  if (n == kAbsent) {  // derived from the encoded length
    const auto declared = as_dtype(f.dtype != Term::unknown ? f.dtype : f.named_dtype, f.is_signed);
    if (zlib || encoded == kAbsent || !declared) return array + "has no length";
    n = encoded / size_of(*declared);
  }
  if (n < 0 || (encoded < 0 && encoded != kAbsent)) return array + "has a negative length";
  if (column.offset[i] == kAbsent) {
    if (n != 0) return array + "has no external offset";
    column.offset[i] = 0;
  }
  if (column.offset[i] < 0) return array + "has a negative offset";
  if (!zlib && n > ibd_size_) {
    past_the_end_ = true;
    return array + "claims " + std::to_string(n) + " values, more than fit into the file";
  }
  const auto type = type_by_length(i, f, column, other);
  if (!type) {
    if (f.dtype == Term::float16) return array + "contains 16-bit floats, which are not supported";
    if (f.dtype == Term::unknown && f.named_dtype == Term::unknown && encoded <= 0) return array + "has no data type";
    return array + "has " + bytes_text(encoded) + " for " + std::to_string(n) +
           " values, which matches no data type; if the arrays are compressed, the header lacks "
           "the zlib term";
  }
  if (zlib && encoded <= 0 && n > 0) return array + "is compressed but has no encoded length";
  if (!zlib || n == 0) encoded = n * size_of(*type);
  column.format[i] = static_cast<std::uint8_t>(static_cast<unsigned>(*type) | (zlib ? 0x80U : 0U));
  if (n == 0) {
    column.offset[i] = 0;
    encoded = 0;
    return {};
  }
  if (column.offset[i] > ibd_size_ || encoded > ibd_size_ - column.offset[i]) {
    past_the_end_ = true;
    return array + "needs " + bytes_text(encoded) + " at offset " + std::to_string(column.offset[i]) +
           ", but the file has " + bytes_text(ibd_size_);
  }
  // Deflate shrinks data by a factor of about 1,030 at most. `encoded` lies within the file here, so nothing overflows.
  if (zlib && n > (encoded + kZlibFrame) * kMostShrunk / size_of(*type)) {
    return array + "claims " + std::to_string(n) + " values, more than its " + bytes_text(encoded) + " can contain";
  }
  return {};
}

std::string LayoutResolver::check(std::size_t i) {
  past_the_end_ = false;
  ArrayColumn& mz = header_.mz;
  ArrayColumn& intensity = header_.intensity;
  if (mz.format[i] == kNoFormat && intensity.format[i] == kNoFormat) {
    if (mz.length[i] == kUnreadable) return "none of its arrays is declared as m/z or intensity";
    // No arrays at all: an empty spectrum.
    for (ArrayColumn* c : {&mz, &intensity}) {
      c->offset[i] = c->length[i] = c->encoded[i] = 0;
      c->format[i] = static_cast<std::uint8_t>(DType::f64);
    }
    return {};
  }
  std::string problem = check_array(i, mz, intensity, "m/z");
  if (problem.empty()) problem = check_array(i, intensity, mz, "intensity");
  if (problem.empty() && mz.length[i] != intensity.length[i]) {
    problem = "it has " + std::to_string(mz.length[i]) + " m/z values but " + std::to_string(intensity.length[i]) +
              " intensities";
  }
  return problem;
}

void LayoutResolver::find_mode(Layout& out) const {
  const ArrayColumn& mz = header_.mz;
  std::size_t first = mz.offset.size();
  std::size_t filled = 0;
  bool shared = true;
  for (std::size_t i = 0; i < mz.offset.size(); ++i) {
    if (mz.length[i] == 0) continue;
    if (filled++ == 0) first = i;
    shared = shared && mz.offset[i] == mz.offset[first] && mz.length[i] == mz.length[first] &&
             mz.encoded[i] == mz.encoded[first] && mz.format[i] == mz.format[first];
  }
  const std::string& declared = header_.text.mode;
  if (filled < 2) {  // nothing to compare: trust the file
    out.mode = declared == "processed" || filled == 0 ? Mode::processed : Mode::continuous;
    return;
  }
  out.mode = shared ? Mode::continuous : Mode::processed;
  const char* found = shared ? "continuous" : "processed";
  if (!declared.empty() && declared != found) {
    out.warnings.push_back("the file says " + declared + ", but its m/z offsets show that it is " + found +
                           "; it is read as " + found);
  }
}

Layout LayoutResolver::run(bool strict) {
  Layout out;
  const bool unwrapped_mz = unwrap(header_.mz.offset, ibd_size_);
  const bool unwrapped_intensity = unwrap(header_.intensity.offset, ibd_size_);
  if (unwrapped_mz || unwrapped_intensity) {
    out.warnings.push_back("the offsets overflowed a 32-bit integer when written; they were unwrapped");
  }
  const std::size_t n = header_.mz.offset.size();
  std::size_t kept = 0, lost = 0;
  std::string first_problem;
  std::vector<std::int64_t> indices;
  bool gaps = false;  // spectra were left out, so that indices and columns must be compacted
  auto leave_out = [&] {
    if (gaps) return;
    gaps = true;
    indices.resize(kept);
    for (std::size_t k = 0; k < kept; ++k) indices[k] = static_cast<std::int64_t>(k);
  };
  for (std::size_t i = 0; i < n; ++i) {
    if (!selection_.wanted(header_, i)) {
      leave_out();
      continue;
    }
    std::string problem = check(i);
    if (problem.empty()) {
      if (!gaps) {
        ++kept;
        continue;
      }
    } else {
      problem = "spectrum " + std::to_string(i) + ": " + problem;
      const std::string& culprit = past_the_end_ ? ibd_ : imzml_;
      if (strict) {
        const char* remedy = kept > 0 ? "; --no-strict (Python: strict=False) leaves out what cannot be read" : "";
        throw FileError(culprit, (past_the_end_ ? "truncated: " : "") + problem + remedy);
      }
      if (lost++ == 0) first_problem = problem;
      leave_out();
      continue;
    }
    for (ArrayColumn* c : {&header_.mz, &header_.intensity}) {
      c->offset[kept] = c->offset[i];
      c->length[kept] = c->length[i];
      c->encoded[kept] = c->encoded[i];
      c->format[kept] = c->format[i];
    }
    indices.push_back(static_cast<std::int64_t>(i));
    ++kept;
  }
  if (lost > 0) {
    const std::string all = std::to_string(kept + lost);
    if (kept == 0) throw FileError(ibd_, "none of the " + all + " spectra can be read; " + first_problem);
    out.warnings.push_back(std::to_string(lost) + " of " + all +
                           " spectra cannot be read and were left out; first: " + first_problem);
  }
  if (gaps) {
    for (ArrayColumn* c : {&header_.mz, &header_.intensity}) {
      c->offset.resize(kept);
      c->length.resize(kept);
      c->encoded.resize(kept);
      c->format.resize(kept);
    }
    out.kept = std::move(indices);
  }
  if (retyped_ > 0) {
    out.warnings.push_back("the declared data type of " + std::to_string(retyped_) +
                           " arrays contradicts their byte length; the byte length is used");
  }
  find_mode(out);
  out.mz.column_ = std::move(header_.mz);
  out.intensity.column_ = std::move(header_.intensity);
  return out;
}

Layout resolve_layout(Header& header, const Selection& selection, const std::string& imzml_path,
                      const std::string& ibd_path, std::int64_t ibd_size, bool strict) {
  return LayoutResolver(header, selection, imzml_path, ibd_path, ibd_size).run(strict);
}

}  // namespace imn::io
