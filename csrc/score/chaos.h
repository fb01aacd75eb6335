// METASPACE's measure of spatial chaos, based on the number of connected objects at 30 intensity levels.
#pragma once

#include <cstdint>
#include <vector>

#include "score/statistics_image.h"

namespace imn::score {

// Working memory of one worker. Specification: reference.statistics.spatial_chaos().
//
// Note [objects of all levels]: thresholding commutes with dilation and erosion, so the image of levels is closed once.
// Let v be its pixels, and let each pair of neighbours be an edge weighted by the lower of the two. The number of
// objects, summed over all levels, is sum(v) minus the weight of a maximum spanning forest: a pixel adds one object to
// each level that it reaches, and an edge of the forest removes one object from each level that both its ends reach. A
// pixel with a neighbour that is at least as high is attached to it by an edge of the pixel's own height, and the two
// cancel. The regional maxima remain, and the edges between the trees attached to them, which are added in order of
// decreasing weight.
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

  std::int32_t rows_ = 0;    // including a border of one pixel on each side
  std::int32_t stride_ = 0;  // likewise
  std::vector<std::uint8_t> levels_, dilated_, closed_, measured_, marks_;
  std::vector<std::int32_t> label_, parent_, left_, upper_;
  std::vector<Edge> found_, edges_;
};

}  // namespace imn::score
