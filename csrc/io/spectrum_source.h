// SpectrumSource: spectra by index from elsewhere than an imzML file, such as a vendor's reader.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/types.h"

namespace imn::io {

// Reading is safe from several threads at once. Failures are FileErrors, or whatever the source throws.
class SpectrumSource {
 public:
  virtual ~SpectrumSource() = default;
  virtual const std::string& name() const = 0;                     // for messages
  virtual const std::vector<std::int32_t>& positions() const = 0;  // (n, 3): x, y, z
  virtual SpectrumType type() const = 0;
  virtual std::optional<std::pair<double, double>> pixel_size_um() const = 0;
  virtual std::int64_t length(std::int64_t s) const = 0;
  // Fills both arrays; Spectra checks m/z and intensities.
  virtual void read(std::int64_t s, Spectrum& out) const = 0;
};

}  // namespace imn::io
