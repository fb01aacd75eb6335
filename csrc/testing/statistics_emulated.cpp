#include "testing/statistics_emulated.h"

#include <vector>

#include "score/statistics_kernels.h"
#include "testing/host_block.h"
#include "testing/preprocess_emulated.h"

namespace imn::testing {

namespace {

using namespace score;

LaunchLimits limits_of(const Emulation& emulation) {
  return {emulation.shared_bytes, emulation.shared_bytes, emulation.multiprocessors};
}

// 256-byte aligned and, as on the device, not initialised to zeros.
struct Memory {
  struct alignas(256) Unit {
    unsigned char bytes[256];
  };
  explicit Memory(std::size_t bytes) : units((bytes + 255) / 256) {
    for (Unit& unit : units) std::fill_n(unit.bytes, sizeof(unit.bytes), static_cast<unsigned char>(0xA5));
  }
  std::vector<Unit> units;
};

}  // namespace

void statistics_emulated(const ImageStack& images, const Emulation& emulation, float* out) {
  if (images.n <= 0) return;
  const auto run = [&](const char*, int blocks, int threads, std::size_t shared_bytes, const auto& kernel) {
    emulate_grid(blocks, 1, threads, shared_bytes, emulation.seed, kernel);
  };
  Memory mask_facts(mask_facts_bytes(images.height, images.width));
  run_mask(images.mask, images.height, images.width, mask_facts.units.data(), run);
  const StatisticsPlan plan = plan_statistics(images.n, images.height, images.width, limits_of(emulation), true);
  Memory scratch(plan.bytes);
  StatisticsCall call{images, nullptr, mask_facts.units.data(), scratch.units.data(), out, true};
  const preprocess::PreprocessCall facts = facts_call(call, plan);
  preprocess_emulated(facts, emulation.shared_bytes, emulation.seed);
  call.facts = facts.facts;
  run_statistics(call, plan, run);
}

bool chaos_fits(std::int32_t height, std::int32_t width, std::size_t shared_bytes) {
  return plan_statistics(1, height, width, {shared_bytes, shared_bytes, 1}, false).chaos_in_shared;
}

}  // namespace imn::testing
