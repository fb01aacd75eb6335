// The sample map of a section, from up to 200 of its candidate channels.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/image_stack.h"
#include "images/candidate_axis.h"
#include "io/plane.h"

namespace imn::pick {

// Fields as in ionmorphnet.SampleMap (Python); docs/reference/sample-map.md.
struct SectionSample {
  std::string kind = "unknown";  // "part", "all" or "unknown"
  std::vector<float> map;        // (height * width); empty: unknown
  std::optional<double> share, off_sample, separation, noise;
  std::int64_t n_images = 0;
  std::int64_t n_coherent = 0;
};

// From ion images of one section. Throws Cancelled.
SectionSample sample_of_images(const ImageStack& stack, int threads, const std::atomic<bool>* cancel = nullptr);

// Throws ArgumentError for several z values, FileError, Cancelled.
SectionSample section_sample(const io::Plane& plane, const images::CandidateAxis& axis, int threads,
                             const std::atomic<bool>* cancel = nullptr);

}  // namespace imn::pick
