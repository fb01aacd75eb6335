#include "preprocess/preprocess.h"

#include "core/error.h"
#include "preprocess/preprocess_cpu.h"

namespace imn::preprocess {

PreprocessId parse_preprocess_id(const std::string& id) {
  if (id == "p99-stretch-224") return PreprocessId::p99_stretch_224;
  if (id == "p99-stretch-224-mask") return PreprocessId::p99_stretch_224_mask;
  throw ArgumentError("unknown preprocessing id '" + id + "'; known: p99-stretch-224, p99-stretch-224-mask");
}

std::int32_t channels(PreprocessId id) { return id == PreprocessId::p99_stretch_224_mask ? 2 : 1; }

void preprocess(const ImageStack& stack, PreprocessId id, int threads, float* out) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  preprocess_cpu(stack, id, threads, out);
}

}  // namespace imn::preprocess
