// Takes the place of preprocess_cuda.cu and preprocess_on_device_cuda.cpp in a build without CUDA.
#include "core/error.h"
#include "preprocess/preprocess_cuda.h"
#include "preprocess/preprocess_on_device.h"

namespace imn::preprocess {
namespace {

[[noreturn]] void refuse() {
  throw UnavailableError("built without CUDA: images are not preprocessed on a GPU; install a build with CUDA");
}

}  // namespace

void preprocess_cuda(const PreprocessCall&, void*) { refuse(); }

void preprocess_on_device(const PreprocessCall&, int) { refuse(); }

}  // namespace imn::preprocess
