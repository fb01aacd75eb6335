// Turns what the header declares into arrays that can be read: types, offsets, bounds, mode.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/array_type.h"
#include "io/header.h"
#include "io/selection.h"
#include "io/types.h"

namespace imn::io {

// The checked arrays of the spectra that are kept, as columns.
class ArrayTable {
 public:
  ArrayRef operator[](std::int64_t i) const {
    const auto k = static_cast<std::size_t>(i);
    const std::uint8_t code = column_.format[k];
    return {column_.offset[k], column_.length[k], column_.encoded[k], static_cast<DType>(code & 0x7F),
            (code & 0x80) != 0};
  }
  std::int64_t length(std::int64_t i) const { return column_.length[static_cast<std::size_t>(i)]; }
  // Whether float32 holds every value of the types of the first n arrays.
  bool all_fit_float(std::int64_t n) const {
    for (std::int64_t i = 0; i < n; ++i) {
      if (length(i) > 0 && !fits_float((*this)[i].type)) return false;
    }
    return true;
  }

  bool any_compressed(std::int64_t n) const {
    for (std::int64_t i = 0; i < n; ++i) {
      if (length(i) > 0 && (*this)[i].zlib) return true;
    }
    return false;
  }

 private:
  friend class LayoutResolver;
  ArrayColumn column_;  // format: DType, with the top bit for zlib
};

struct Layout {
  ArrayTable mz, intensity;
  std::vector<std::int64_t> kept;  // indices of the kept spectra in the file; empty: all of them
  Mode mode = Mode::processed;
  std::vector<std::string> warnings;
};

// Moves the array columns of the selected spectra out of the header. Throws FileError at the first of them that cannot
// be read (strict), or if none can be read.
Layout resolve_layout(Header& header, const Selection& selection, const std::string& imzml_path,
                      const std::string& ibd_path, std::int64_t ibd_size, bool strict);

}  // namespace imn::io
