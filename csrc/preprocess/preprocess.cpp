#include "preprocess/preprocess.h"

#include "core/error.h"
#include "preprocess/element_type.h"
#include "preprocess/preprocess_cpu.h"

namespace imn::preprocess {

PreprocessId parse_preprocess_id(const std::string& id) {
  if (id == "p99-stretch-224") return PreprocessId::p99_stretch_224;
  if (id == "p99-stretch-224-mask") return PreprocessId::p99_stretch_224_mask;
  throw ArgumentError("unknown preprocessing id '" + id + "'; known: p99-stretch-224, p99-stretch-224-mask");
}

ElementType parse_element_type(const std::string& name) {
  if (name == "f32") return ElementType::f32;
  if (name == "bf16") return ElementType::bf16;
  if (name == "f16") return ElementType::f16;
  throw ArgumentError("unknown element type '" + name + "'; known: f32, bf16, f16");
}

std::int32_t channels(PreprocessId id) { return id == PreprocessId::p99_stretch_224_mask ? 2 : 1; }

void preprocess(const ImageStack& stack, PreprocessId id, int threads, float* out) {
  if (stack.n <= 0) return;
  if (stack.height <= 0 || stack.width <= 0) throw ArgumentError("images must have at least one pixel");
  preprocess_cpu(stack, id, threads, out);
}

}  // namespace imn::preprocess
