// Picks a file with an engine of its own: own_engine FILE.imzML [FOLDER OF THE MODELS]. The engine stands for the
// program's inference library; here it calls an image structured by how much neighbouring pixels agree.
#include <cmath>
#include <cstdio>
#include <ionmorphnet.hpp>

namespace {

constexpr int kChannels = 2, kSize = 224, kStatistics = 4, kOutputs = 7;  // as config.json of the default model says

// images (n, 2, 224, 224): the ion image and the measured pixels; outputs (n, 7): six classes and the structure.
void score(const float* images, const float*, float* outputs, std::int64_t n) {
  constexpr int kPixels = kSize * kSize;
  for (std::int64_t i = 0; i < n; ++i) {
    const float* image = images + i * kChannels * kPixels;
    double step = 0.0, sum = 0.0;
    for (int p = 1; p < kPixels; ++p) {
      step += std::fabs(image[p] - image[p - 1]);
      sum += image[p];
    }
    const double roughness = step / (sum + 1e-6);
    for (int k = 0; k < kOutputs; ++k) outputs[i * kOutputs + k] = 0.0F;
    outputs[i * kOutputs + IMN_CLASS_STRUCTURED] = static_cast<float>(1.0 - roughness);
    outputs[i * kOutputs + kOutputs - 1] = static_cast<float>(4.0 * (0.5 - roughness));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: own_engine FILE.imzML [FOLDER OF THE MODELS]\n");
    return 2;
  }
  try {
    auto folders = ionmorphnet::init<imn_context_options>();
    folders.model_dir = argc > 2 ? argv[2] : nullptr;  // nullptr: where the library is installed
    const ionmorphnet::Context context([](int, const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); },
                                       folders);
    const ionmorphnet::Dataset section(context, argv[1]);
    auto engine = ionmorphnet::init<imn_engine>();
    engine.batch = 16;
    engine.channels = kChannels;
    engine.height = engine.width = kSize;
    engine.n_statistics = kStatistics;
    engine.n_outputs = kOutputs;
    auto scoring = ionmorphnet::init<imn_scorer_options>();
    scoring.no_cascade = 1;  // this engine is not the model's network, so no image may be spared on its behalf
    const ionmorphnet::Scorer scorer(context, engine, score, scoring);
    auto options = ionmorphnet::init<imn_pick_options>();
    options.top = 20;
    const ionmorphnet::Peaks peaks = ionmorphnet::pick(section, scorer, nullptr, options);
    const auto mz = peaks.column(IMN_COL_MZ), scores = peaks.column(IMN_COL_SCORE);
    for (std::int64_t i = 0; i < peaks.picked(); ++i) {
      std::printf("%.17g,%.17g\n", mz[static_cast<std::size_t>(i)], scores[static_cast<std::size_t>(i)]);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "own_engine: %s\n", error.what());
    return 1;
  }
  return 0;
}
