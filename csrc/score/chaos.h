// METASPACE's measure of spatial chaos: into how many objects an image falls at 30 levels.
#pragma once

#include <cstdint>
#include <vector>

#include "score/statistics_image.h"

namespace imn::score {

// Memory of one worker. Specification: reference.statistics.spatial_chaos().
//
// Note [objects of all levels]: a threshold commutes with dilation and erosion, so the image of levels is closed once.
// Let v be its pixels and each pair of neighbours an edge as heavy as the lower of the two. The objects of all levels
// together are sum(v) minus the weight of a maximum spanning forest: a pixel adds one object to each level that it
// reaches, an edge of the forest takes one away from each level that both its ends reach. A pixel with a neighbour that
// is at least as high hangs on it by an edge of its own height, which cancels; what is left are the regional maxima,
// and the edges between the areas that hang on them, taken from the heaviest down.
class SpatialChaos {
 public:
  float operator()(const NormalisedImage& image);

 private:
  struct Edge {
    std::int32_t a, b, weight;
  };

  void close_levels(const NormalisedImage& image);
  std::int64_t count_objects();
  std::int64_t hang_pixels();
  void sort_edges();
  std::int32_t root(std::int32_t label);

  std::int32_t rows_ = 0;    // with a border of one pixel on each side
  std::int32_t stride_ = 0;  // likewise
  std::vector<std::uint8_t> levels_, dilated_, closed_, measured_, marks_;
  std::vector<std::int32_t> label_, parent_, left_, upper_;
  std::vector<Edge> found_, edges_;
};

}  // namespace imn::score
