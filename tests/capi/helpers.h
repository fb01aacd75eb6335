// What the programs with cases share: PROGRAM CASE SECTION [ARGUMENT].
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <ionmorphnet.hpp>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace imn = ionmorphnet;

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::exit(1);
}

// Requires that `body` throws imn::Error of a status, with a part of its message.
inline void require_error(imn_status status, const char* part, const std::function<void()>& body) {
  try {
    body();
  } catch (const imn::Error& error) {
    if (error.status() == status && std::strstr(error.what(), part) != nullptr) return;
    std::fprintf(stderr, "status %d instead of %d, or no '%s': %s\n", error.status(), status, part, error.what());
    std::exit(1);
  }
  std::fprintf(stderr, "no error; expected %d with '%s'\n", status, part);
  std::exit(1);
}

inline std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline std::string ibd_of(const std::string& imzml) { return imzml.substr(0, imzml.rfind('.')) + ".ibd"; }

inline imn_pick_options top(std::int64_t n) {
  auto options = imn::init<imn_pick_options>();
  options.top = n;
  return options;
}

// m/z and score of all candidates.
inline std::vector<double> table(const imn::Peaks& peaks) {
  std::vector<double> all = peaks.column(IMN_COL_MZ);
  for (const double score : peaks.column(IMN_COL_SCORE)) all.push_back(score);
  return all;
}

inline std::vector<double> picked_with(const imn::Dataset& section, const char* scorer) {
  const imn::Context context;
  return table(imn::pick(section, imn::Scorer(context, scorer), nullptr, top(10)));
}

// A file in memory. Reads fail from when `result` is set: with -5, or with fewer bytes than asked for.
struct Memory {
  std::string bytes;
  std::atomic<int> calls{0};
  std::atomic<std::int64_t> result{0};
};

inline std::int64_t IMN_CALL read_memory(void* user, std::uint64_t offset, void* to, std::uint64_t n) {
  auto& memory = *static_cast<Memory*>(user);
  ++memory.calls;
  if (memory.result != 0) return memory.result;
  std::memcpy(to, memory.bytes.data() + offset, n);
  return static_cast<std::int64_t>(n);
}

inline imn_source source_of(Memory& memory, const char* name) {
  auto source = imn::init<imn_source>();
  source.size = memory.bytes.size();
  source.user = &memory;
  source.name = name;
  source.read_at = read_memory;
  return source;
}

// The spectra of a file, handed over by index. read() fails for spectrum 7 while `broken` is set.
struct Spectra {
  explicit Spectra(const imn::Dataset& section) : is_profile(section.number(IMN_IS_PROFILE) != 0.0) {
    const auto n = static_cast<std::int64_t>(section.number(IMN_N_SPECTRA));
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t length = 0;
      imn::detail::check(imn_dataset_spectrum(section.get(), i, nullptr, nullptr, 0, &length));
      std::vector<double> values(static_cast<std::size_t>(length)), counts(values.size());
      if (length > 0) {
        imn::detail::check(imn_dataset_spectrum(section.get(), i, values.data(), counts.data(), length, &length));
      }
      mz.push_back(values);
      intensity.emplace_back(counts.begin(), counts.end());
    }
    xyz.resize(static_cast<std::size_t>(3 * n));
    imn::detail::check(imn_dataset_coordinates(section.get(), xyz.data(), xyz.size()));
  }

  imn_reader reader() {
    auto native = imn::init<imn_reader>();
    native.n_spectra = static_cast<std::int64_t>(mz.size());
    native.xyz = xyz.data();
    native.is_profile = is_profile ? 1 : 0;
    native.user = this;
    native.length = [](void* user, std::int64_t i) {
      return static_cast<std::int64_t>(static_cast<Spectra*>(user)->mz[static_cast<std::size_t>(i)].size());
    };
    native.read = [](void* user, std::int64_t i, double* to, float* counts, std::int64_t) {
      const auto& all = *static_cast<Spectra*>(user);
      const auto at = static_cast<std::size_t>(i);
      std::copy(all.mz[at].begin(), all.mz[at].end(), to);
      std::copy(all.intensity[at].begin(), all.intensity[at].end(), counts);
      return std::int32_t{all.broken && i == 7 ? 9 : 0};
    };
    return native;
  }

  bool is_profile;
  std::vector<std::vector<double>> mz;
  std::vector<std::vector<float>> intensity;
  std::vector<std::int32_t> xyz;
  std::atomic<bool> broken{false};
};

// Sizes of the bundled network.
inline imn_engine bundled_shape(std::int32_t parallel) {
  auto engine = imn::init<imn_engine>();
  engine.batch = 4;
  engine.channels = 2;
  engine.height = engine.width = 224;
  engine.n_statistics = 4;
  engine.n_outputs = 7;
  engine.parallel = parallel;
  return engine;
}

inline imn::Context context_with(const std::string& models) {
  auto options = imn::init<imn_context_options>();
  options.model_dir = models.c_str();
  return imn::Context({}, options);
}

inline void pause_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

// An engine whose outputs follow from the images: brightness as the first logit.
inline imn::Scorer bright_engine(const imn::Context& context, std::int32_t parallel, int milliseconds = 0) {
  const imn_engine engine = bundled_shape(parallel);
  return {context, engine, [engine, milliseconds](const float* images, const float*, float* outputs, std::int64_t n) {
            const std::size_t pixels = static_cast<std::size_t>(engine.height) * static_cast<std::size_t>(engine.width);
            if (milliseconds > 0) pause_ms(milliseconds);
            std::fill_n(outputs, n * engine.n_outputs, 0.0f);
            for (std::int64_t i = 0; i < n; ++i) {
              const float* image = images + static_cast<std::size_t>(i * engine.channels) * pixels;
              double sum = 0.0;
              for (std::size_t k = 0; k < pixels; ++k) sum += image[k];
              outputs[i * engine.n_outputs] = static_cast<float>(sum / static_cast<double>(pixels));
            }
          }};
}

using Cases = std::map<std::string, std::function<void()>>;

// Runs the case that the first argument names.
inline int run_case(const std::string& name, const Cases& cases) {
  const auto found = cases.find(name);
  if (found == cases.end()) return 2;
  try {
    found->second();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    return 1;
  }
  std::printf("ok\n");
  return 0;
}
