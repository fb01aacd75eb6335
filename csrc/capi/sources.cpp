#include "capi/sources.h"

#include <cmath>
#include <limits>

#include "capi/calls.h"

namespace imn::capi {

namespace {

class CallerBytes final : public io::ByteSource {
 public:
  explicit CallerBytes(const imn_source& source) : source_(source), name_(text_or(source.name, "source")) {}

  const std::string& name() const override { return name_; }
  std::int64_t size() const override { return static_cast<std::int64_t>(source_.size); }
  void read(std::int64_t offset, std::int64_t n, std::byte* to) const override {
    const std::int64_t got =
        source_.read_at(source_.user, static_cast<std::uint64_t>(offset), to, static_cast<std::uint64_t>(n));
    if (got == n) return;
    const std::string where = std::to_string(n) + " bytes at " + std::to_string(offset);
    if (got < 0 || got > n) {
      throw CallbackError(name_ + ": read_at returned " + std::to_string(got) + " for " + where);
    }
    throw FileError(name_, "cannot be read to its end: read_at returned " + std::to_string(got) + " for " + where +
                               ", but its size was said to be " + std::to_string(source_.size));
  }

 private:
  imn_source source_;
  std::string name_;
};

class CallerSpectra final : public io::SpectrumSource {
 public:
  explicit CallerSpectra(const imn_reader& reader)
      : reader_(reader),
        name_(text_or(reader.name, "reader")),
        positions_(reader.xyz, reader.xyz + 3 * reader.n_spectra) {}

  const std::string& name() const override { return name_; }
  const std::vector<std::int32_t>& positions() const override { return positions_; }
  io::SpectrumType type() const override {
    return reader_.is_profile != 0 ? io::SpectrumType::profile : io::SpectrumType::centroid;
  }
  std::optional<std::pair<double, double>> pixel_size_um() const override {
    if (!(reader_.pixel_size_x > 0.0 && reader_.pixel_size_y > 0.0)) return std::nullopt;
    return std::pair(reader_.pixel_size_x, reader_.pixel_size_y);
  }
  std::int64_t length(std::int64_t s) const override {
    const std::int64_t n = reader_.length(reader_.user, s);
    if (n >= 0 && n <= std::numeric_limits<std::int32_t>::max()) return n;
    throw CallbackError(name_ + ": length returned " + std::to_string(n) + " for spectrum " + std::to_string(s));
  }
  void read(std::int64_t s, io::Spectrum& out) const override {
    const std::int64_t n = length(s);
    out.mz.resize(static_cast<std::size_t>(n));
    out.intensity.resize(static_cast<std::size_t>(n));
    if (n == 0) return;
    std::vector<float> intensity(static_cast<std::size_t>(n));
    const std::int32_t status = reader_.read(reader_.user, s, out.mz.data(), intensity.data(), n);
    if (status != 0) {
      throw CallbackError(name_ + ": read returned " + std::to_string(status) + " for spectrum " + std::to_string(s));
    }
    out.intensity.assign(intensity.begin(), intensity.end());
  }

 private:
  imn_reader reader_;
  std::string name_;
  std::vector<std::int32_t> positions_;
};

}  // namespace

std::shared_ptr<const io::ByteSource> make_byte_source(const imn_source& source) {
  require_zero(source.reserved, "imn_source");
  if (source.read_at == nullptr) throw ArgumentError("imn_source: read_at is NULL");
  if (source.size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw ArgumentError("imn_source: size is larger than any file");
  }
  return std::make_shared<const CallerBytes>(source);
}

std::shared_ptr<const io::SpectrumSource> make_spectrum_source(const imn_reader& reader) {
  if (reader.n_spectra < 0 || reader.n_spectra > std::numeric_limits<std::int32_t>::max()) {
    throw ArgumentError("imn_reader: n_spectra must not be " + std::to_string(reader.n_spectra));
  }
  if (reader.length == nullptr || reader.read == nullptr) throw ArgumentError("imn_reader: length or read is NULL");
  if (reader.xyz == nullptr && reader.n_spectra > 0) throw ArgumentError("imn_reader: xyz is NULL");
  return std::make_shared<const CallerSpectra>(reader);
}

}  // namespace imn::capi
