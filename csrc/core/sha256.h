// SHA-256 (FIPS 180-4), to recognise files by their content.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace imn {

class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  // Lower-case hexadecimal digits of everything so far; the object is spent afterwards.
  std::string hex();

 private:
  void block(const std::byte* data);

  std::array<std::uint32_t, 8> state_{0x6A09E667U, 0xBB67AE85U, 0x3C6EF372U, 0xA54FF53AU,
                                      0x510E527FU, 0x9B05688CU, 0x1F83D9ABU, 0x5BE0CD19U};
  std::array<std::byte, 64> rest_{};
  std::size_t n_rest_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace imn
