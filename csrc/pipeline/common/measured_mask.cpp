#include "pipeline/common/measured_mask.h"

namespace imn::pipeline {

std::vector<std::uint8_t> measured_mask(const io::Plane& plane) {
  const auto measured = plane.pixels();
  const auto pixels =
      static_cast<std::size_t>(plane.geometry().width) * static_cast<std::size_t>(plane.geometry().height);
  if (measured.size() == pixels) return {};
  std::vector<std::uint8_t> mask(pixels, 0);
  for (const io::Pixel& pixel : measured) mask[static_cast<std::size_t>(pixel.index)] = 1;
  return mask;
}

}  // namespace imn::pipeline
