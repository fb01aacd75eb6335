// The kernel of the measure of spatial chaos. One thread block counts the objects of one image. See core/cuda/block.h.
#pragma once

#include <cstdint>

#include "core/cuda/block.h"
#include "core/host_device.h"
#include "preprocess/image_quads.h"
#include "score/chaos_close.h"
#include "score/chaos_forest.h"
#include "score/chaos_hang.h"
#include "score/chaos_plane.h"
#include "score/statistics_cuda.h"

namespace imn::score {

// Note [objects on a device]: the objects of all levels are counted as described in score/chaos.h: the sum of the
// pixels of the closed image minus the weight of a maximum spanning forest. First every pixel is attached to one
// neighbour that is at least as high; these edges belong to a maximum spanning forest. The trees are then numbered and
// joined in rounds. Within a phase, threads may read what others write, using load(), store() and maximum(): any value
// stored there so far is correct.

// Cells outside the image are not measured, but their labels are read.
template <typename Block, typename Label>
IMN_DEVICE_CODE std::int64_t count_objects(Block& block, const ChaosPlane& plane, const ChaosPlanes<Label>& planes,
                                           const ChaosForest<Label>& forest, ChaosMemory& memory) {
  const int border = plane.stride();
  block.for_each(2 * border, [&](int i) {
    const int at = i < border ? i : plane.cells() - 2 * border + i;
    planes.labels[at] = static_cast<Label>(at);
  });
  const std::int64_t ends = hang_pixels(block, plane, planes, memory);
  const int trees = memory.trees;
  list_edges(block, plane, planes, forest.edges, memory);
  return ends - join_trees(block, forest, trees, memory);
}

// Block = worker; handles every grid_x-th image. Writes the count of each image that is not blank to `objects`.
template <typename Label, typename Block>
IMN_DEVICE_CODE void chaos_block(Block& block, const ImageStack& images, const preprocess::ImageFacts* facts,
                                 const ChaosPlanes<Label>& planes, const ChaosForest<Label>& forest,
                                 std::int64_t* objects, ChaosMemory& memory) {
  const ChaosPlane plane{images.height, images.width};
  for (std::int64_t image = block.x(); image < images.n; image += block.grid_x()) {
    const preprocess::ImageFacts& fact = facts[image];
    if (fact.blank != 0) continue;
    const preprocess::GlobalImage pixels(images.image(image), images.mask, plane.height * plane.width);
    close_levels(block, pixels, fact.divisor, plane, planes);
    const std::int64_t count = count_objects(block, plane, planes, forest, memory);
    block.once([&] { objects[image] = count; });
  }
}

}  // namespace imn::score
