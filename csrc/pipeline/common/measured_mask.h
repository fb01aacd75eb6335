// The mask of measured pixels that both streaming loops score with.
#pragma once

#include <cstdint>
#include <vector>

#include "io/plane.h"

namespace imn::pipeline {

// (height * width), 1 = the pixel has a spectrum. Empty if every pixel has one: the stages then skip the mask.
std::vector<std::uint8_t> measured_mask(const io::Plane& plane);

}  // namespace imn::pipeline
