// The streaming loop: read | bin | preprocess | score, overlapped, in bounded memory whatever the file size.
#pragma once

#include <cstdint>
#include <span>

#include "core/image_stack.h"
#include "images/mz_window.h"
#include "io/dataset.h"
#include "pipeline/image_sink.h"
#include "pipeline/options.h"

namespace imn::pipeline {

// How many images are binned at a time: two strips must fit into what the limit leaves for images.
// Throws ArgumentError naming the least limit when not even one image would fit.
std::int64_t images_per_strip(std::int64_t n_windows, std::int64_t pixels, std::int64_t memory_limit);

// Scores one ion image per window; results in the order of the windows. Unmeasured pixels are 0 and marked in the
// stack's mask. A thread bins strip k+1 while strip k is scored.
Timings score_windows(const io::Dataset& dataset, std::span<const images::MzWindow> windows, ImageSink& sink,
                      const Options& options, const Results& results);

// The same for images that are there already.
Timings score_stack(const ImageStack& stack, ImageSink& sink, const Options& options, const Results& results);

}  // namespace imn::pipeline
