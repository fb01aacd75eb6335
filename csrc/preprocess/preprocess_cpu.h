// The CPU implementation of preprocess(), which checks the arguments.
#pragma once

#include "preprocess/preprocess.h"

namespace imn::preprocess {

void preprocess_cpu(const ImageStack& stack, PreprocessId id, int threads, float* out);

}  // namespace imn::preprocess
