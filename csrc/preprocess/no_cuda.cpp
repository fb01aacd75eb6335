// Replaces preprocess_cuda.cu in builds without CUDA.
#include "core/error.h"
#include "preprocess/preprocess_cuda.h"

namespace imn::preprocess {

void preprocess_cuda(const PreprocessCall&, void*) {
  throw UnavailableError("built without CUDA: images are not preprocessed on a GPU; install a build with CUDA");
}

}  // namespace imn::preprocess
