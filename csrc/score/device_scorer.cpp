#include "score/device_scorer.h"

#include "core/error.h"

namespace imn::score {

ImageType parse_image_type(const std::string& name) {
  if (name == "f32") return ImageType::f32;
  if (name == "bf16") return ImageType::bf16;
  if (name == "f16") return ImageType::f16;
  throw ArgumentError("unknown input type '" + name + "' of a device scorer; known: f32, bf16, f16");
}

void check_device_scorer(const DeviceScorer& scorer) {
  const DeviceScorerInfo& info = scorer.info;
  if (info.batch <= 0 || info.channels <= 0 || info.n_outputs <= 0) {
    throw ArgumentError("batch, channels and n_outputs of a device scorer must be positive");
  }
  if (info.n_statistics < 0) throw ArgumentError("n_statistics of a device scorer must not be negative");
  if (!scorer.enqueue) throw ArgumentError("a device scorer needs its function");
}

}  // namespace imn::score
