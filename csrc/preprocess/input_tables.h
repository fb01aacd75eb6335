// InputTables: what the images of a section share when a device makes the network's input, computed on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/image_stack.h"
#include "preprocess/preprocess_id.h"

namespace imn::preprocess {

// An AreaAxis (resize.h).
struct AreaAxisView {
  std::int32_t taps = 0;
  const std::int32_t* first = nullptr;  // (size)
  const float* weights = nullptr;       // (taps, size)
};

// Addresses on the device. Only what the id needs is set: nothing for p99-stretch-SIZE[-mask][-sqrt].
struct InputTables {
  AreaAxisView x, y;              // if an axis of the image shrinks with Resize::area
  const float* sample = nullptr;  // (size, size), the sample channel
};

// The tables in one block of memory.
class PackedTables {
 public:
  // `shape`: size and sample map (on the host) of the section's images.
  PackedTables(const ImageStack& shape, const PreprocessId& id);

  // Empty if the id needs no tables.
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(words_)); }
  // The tables in a copy of bytes() that begins at `base`, aligned to 4 bytes.
  InputTables at(const void* base) const;

 private:
  std::vector<std::uint32_t> words_;
  std::int32_t size_;
  std::int32_t x_taps_ = 0, y_taps_ = 0;  // 0: no such tables
  bool sample_;
};

}  // namespace imn::preprocess
