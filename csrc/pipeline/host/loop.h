// The streaming loop on the host: read | bin | preprocess | score, overlapped, in bounded memory whatever the file
// size.
#pragma once

#include <cstdint>
#include <span>

#include "core/image_stack.h"
#include "images/mz_window.h"
#include "io/plane.h"
#include "pipeline/host/image_sink.h"
#include "pipeline/host/options.h"

namespace imn::pipeline {

// Images per strip, so that two strips fit into the share of the limit that is for images. Throws ArgumentError naming
// the smallest sufficient limit if not even one image fits.
std::int64_t images_per_strip(std::int64_t n_windows, std::int64_t pixels, std::int64_t memory_limit);

// Scores one ion image per window; results are in the order of the windows. Unmeasured pixels are 0 and marked in the
// stack's mask. A thread bins strip k+1 while strip k is scored.
HostTimings score_windows(const io::Plane& plane, std::span<const images::MzWindow> windows, ImageSink& sink,
                          const HostOptions& options, const Results& results);

// The same for images that already exist.
HostTimings score_stack(const ImageStack& stack, ImageSink& sink, const HostOptions& options, const Results& results);

LoopFacts facts(const HostTimings& timings);

}  // namespace imn::pipeline
