#include "pipeline/common/measured_mask.h"

namespace imn::pipeline {

std::vector<std::uint8_t> measured_mask(const io::Dataset& dataset) {
  const auto measured = dataset.pixels();
  const auto pixels = static_cast<std::size_t>(dataset.width()) * static_cast<std::size_t>(dataset.height());
  if (measured.size() == pixels) return {};
  std::vector<std::uint8_t> mask(pixels, 0);
  for (const io::Pixel& pixel : measured) mask[static_cast<std::size_t>(pixel.index)] = 1;
  return mask;
}

}  // namespace imn::pipeline
