// Cases that the tests run by name: behaviour CASE SECTION [ARGUMENT]. Each prints what pytest compares, or "ok".
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <ionmorphnet.hpp>
#include <map>
#include <thread>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

namespace imn = ionmorphnet;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::exit(1);
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string ibd_of(const std::string& imzml) { return imzml.substr(0, imzml.rfind('.')) + ".ibd"; }

imn_pick_options top(std::int64_t n) {
  auto options = imn::init<imn_pick_options>();
  options.top = n;
  return options;
}

// m/z and score of all candidates.
std::vector<double> table(const imn::Peaks& peaks) {
  std::vector<double> all = peaks.column(IMN_COL_MZ);
  for (const double score : peaks.column(IMN_COL_SCORE)) all.push_back(score);
  return all;
}

std::vector<double> picked_with(const imn::Dataset& section, const char* scorer) {
  const imn::Context context;
  return table(imn::pick(section, imn::Scorer(context, scorer), nullptr, top(10)));
}

struct Memory {
  std::string bytes;
  std::atomic<int> calls{0};
};

std::int64_t IMN_CALL read_memory(void* user, std::uint64_t offset, void* to, std::uint64_t n) {
  auto& memory = *static_cast<Memory*>(user);
  ++memory.calls;
  std::memcpy(to, memory.bytes.data() + offset, n);
  return static_cast<std::int64_t>(n);
}

imn_source source_of(Memory& memory, const char* name) {
  auto source = imn::init<imn_source>();
  source.size = memory.bytes.size();
  source.user = &memory;
  source.name = name;
  source.read_at = read_memory;
  return source;
}

// Three ways to read a file, and bytes in memory, give the same picks and images.
void readings(const std::string& path) {
  const imn::Context context;
  std::vector<std::vector<double>> tables;
  std::vector<std::vector<float>> images;
  const auto add = [&](const imn::Dataset& section) {
    tables.push_back(picked_with(section, "moran"));
    const std::vector<double> mz = imn::Axis(section).column(IMN_COL_MZ);
    images.push_back(section.images({mz.front() - 0.1}, {mz.front() + 0.1}));
  };
  for (const std::int32_t io : {IMN_IO_READ, IMN_IO_MAPPED, IMN_IO_MAPPED_WATCHED}) {
    auto options = imn::init<imn_open_options>();
    options.io = io;
    add(imn::Dataset(context, path, options));
  }
  Memory head, body;
  head.bytes = content(path);
  body.bytes = content(ibd_of(path));
  add(imn::Dataset(context, source_of(head, "section.imzML"), source_of(body, "section.ibd")));
  require(body.calls > 0, "the source was read");
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  for (std::size_t i = 1; i < tables.size(); ++i) {
    require(tables[i] == tables[0], "picks do not depend on how a file is read");
    require(same(images[i], images[0]), "images do not depend on how a file is read");
  }
}

// The spectra of a file, handed over by index.
struct Spectra {
  std::vector<std::vector<double>> mz;
  std::vector<std::vector<float>> intensity;
};

void reader(const std::string& path) {
  const imn::Context context;
  const imn::Dataset section(context, path);
  const auto n = static_cast<std::int64_t>(section.number(IMN_N_SPECTRA));
  Spectra spectra;
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t length = 0;
    imn::detail::check(imn_dataset_spectrum(section.get(), i, nullptr, nullptr, 0, &length));
    std::vector<double> mz(static_cast<std::size_t>(length)), intensity(mz.size());
    if (length > 0) {
      imn::detail::check(imn_dataset_spectrum(section.get(), i, mz.data(), intensity.data(), length, &length));
    }
    spectra.mz.push_back(mz);
    spectra.intensity.emplace_back(intensity.begin(), intensity.end());
  }
  std::vector<std::int32_t> xyz(static_cast<std::size_t>(3 * n));
  imn::detail::check(imn_dataset_coordinates(section.get(), xyz.data(), xyz.size()));
  auto native = imn::init<imn_reader>();
  native.n_spectra = n;
  native.xyz = xyz.data();
  native.is_profile = section.number(IMN_IS_PROFILE) != 0.0 ? 1 : 0;
  native.user = &spectra;
  native.length = [](void* user, std::int64_t i) {
    return static_cast<std::int64_t>(static_cast<Spectra*>(user)->mz[static_cast<std::size_t>(i)].size());
  };
  native.read = [](void* user, std::int64_t i, double* mz, float* intensity, std::int64_t) {
    const auto& all = *static_cast<Spectra*>(user);
    std::copy(all.mz[static_cast<std::size_t>(i)].begin(), all.mz[static_cast<std::size_t>(i)].end(), mz);
    std::copy(all.intensity[static_cast<std::size_t>(i)].begin(), all.intensity[static_cast<std::size_t>(i)].end(),
              intensity);
    return std::int32_t{0};
  };
  const imn::Dataset handed(context, native);
  require(handed.height() == section.height() && handed.width() == section.width(), "the grid is that of the file");
  require(picked_with(handed, "blur") == picked_with(section, "blur"), "picks are those of the file");
}

// A file that shrinks while it is open is an error where it is read by calls.
void shrinks(const std::string& path, const std::string& folder) {
  const std::string imzml = folder + "/shrinks.imzML", ibd = folder + "/shrinks.ibd";
  for (const std::int32_t io : {IMN_IO_READ, IMN_IO_MAPPED_WATCHED}) {
    std::filesystem::copy_file(path, imzml, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file(ibd_of(path), ibd, std::filesystem::copy_options::overwrite_existing);
    const imn::Context context;
    auto options = imn::init<imn_open_options>();
    options.io = io;
    const imn::Dataset section(context, imzml, options);
    std::filesystem::resize_file(ibd, std::filesystem::file_size(ibd) / 3);
    try {
      picked_with(section, "moran");
      require(false, "a file that shrank is an error");
    } catch (const imn::Error& error) {
      require(error.status() == IMN_ERR_FILE, "a file that shrank is IMN_ERR_FILE");
      require(std::strstr(error.what(), "truncated after it was opened") != nullptr, "the message says why");
    }
  }
}

// Callers of other versions: shorter structures, longer ones with zeros, and longer ones with something set.
void versions(const std::string& path) {
  const imn::Context context;
  const imn::Dataset section(context, path);
  const imn::Scorer scorer(context, "moran");
  const auto with = [&](const void* options) {
    imn_peaks* peaks = nullptr;
    const imn_status status =
        imn_pick(section.get(), scorer.get(), nullptr, static_cast<const imn_pick_options*>(options), &peaks);
    std::int64_t picked = 0;
    if (status == IMN_OK) imn::detail::check(imn_peaks_count(peaks, nullptr, &picked));
    imn_peaks_free(peaks);
    return std::pair(status, picked);
  };
  struct {
    std::uint32_t struct_size;
    std::int32_t threads;
    std::int64_t top;
  } old{sizeof old, 0, 4};
  require(with(&old) == std::pair(imn_status{IMN_OK}, std::int64_t{4}), "a caller with fewer fields works");
  struct {
    imn_pick_options known;
    std::int64_t later;
  } newer{top(3), 0};
  newer.known.struct_size = sizeof newer;
  require(with(&newer) == std::pair(imn_status{IMN_OK}, std::int64_t{3}), "a newer caller that sets nothing new works");
  newer.later = 1;
  require(with(&newer).first == IMN_ERR_STRUCT, "a newer caller that sets a new field is refused");
}

// Two contexts in two threads, and a third thread that cancels one of them.
void threads(const std::string& path) {
  std::vector<double> alone;
  {
    const imn::Context context;
    alone = picked_with(imn::Dataset(context, path), "chaos");
  }
  imn::Cancel cancel;
  std::atomic<bool> started{false};
  std::atomic<bool> cancelled{false};
  std::thread first([&] {
    for (int i = 0; i < 3; ++i) {
      const imn::Context context;
      require(picked_with(imn::Dataset(context, path), "chaos") == alone, "another context does not change a pick");
    }
  });
  std::thread second([&] {
    const imn::Context context;
    const imn::Dataset section(context, path);
    const imn::Scorer scorer(context, "chaos");
    auto options = top(5);
    options.cancel = cancel.get();
    try {
      while (true) {
        imn::pick(section, scorer, nullptr, options, [&](std::int64_t, std::int64_t) {
          started = true;
          return true;
        });
      }
    } catch (const imn::Error& error) {
      cancelled = error.status() == IMN_ERR_CANCELLED;
    }
  });
  std::thread third([&] {
    while (!started) std::this_thread::yield();
    cancel.set();
  });
  first.join();
  second.join();
  third.join();
  require(cancelled, "the pick was cancelled from another thread");
}

// One dataset and one scorer shared by threads: picks take turns, and none differs.
void shared(const std::string& path) {
  const imn::Context context;
  const imn::Dataset section(context, path);
  const imn::Scorer scorer(context, "moran");
  const std::vector<double> alone = table(imn::pick(section, scorer, nullptr, top(5)));
  std::vector<std::thread> all;
  for (int i = 0; i < 4; ++i) {
    all.emplace_back([&] {
      require(table(imn::pick(section, scorer, nullptr, top(5))) == alone, "picks that share a scorer agree");
    });
  }
  for (std::thread& thread : all) thread.join();
}

struct Load {
  long kilobytes = 0, threads = 0, files = 0;
};

Load load() {
  Load now;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) now.kilobytes = std::atol(line.c_str() + 6);
    if (line.rfind("Threads:", 0) == 0) now.threads = std::atol(line.c_str() + 8);
  }
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
    now.files += each.path().empty() ? 0 : 1;
  return now;
}

// Many rounds leave memory, threads and open files as they were after the first ones.
void rounds(int n, const std::function<void()>& round) {
  for (int i = 0; i < std::max(10, n / 10); ++i) round();
  const Load before = load();
  for (int i = 0; i < n; ++i) round();
  const Load after = load();
  std::printf("%ld kB, %ld threads, %ld files; then %ld kB, %ld threads, %ld files\n", before.kilobytes, before.threads,
              before.files, after.kilobytes, after.threads, after.files);
  require(after.threads == before.threads && after.files == before.files, "threads and files do not grow");
  require(after.kilobytes - before.kilobytes < 2000, "memory does not grow");
}

void opens(const std::string& path, const std::string& n) {
  const imn::Context context;
  int k = 0;
  rounds(std::atoi(n.c_str()), [&] {
    auto options = imn::init<imn_open_options>();
    options.io = k++ % 3;
    const imn::Dataset section(context, path, options);
  });
}

void picks(const std::string& path, const std::string& n) {
  const imn::Context context;
  const imn::Dataset section(context, path);
  rounds(std::atoi(n.c_str()), [&] { picked_with(section, "moran"); });
}

// Exceptions of C++ callbacks come back as what they were.
void exceptions(const std::string& path, const std::string& models) {
  auto options = imn::init<imn_context_options>();
  options.model_dir = models.c_str();
  const imn::Context context({}, options);
  const imn::Dataset section(context, path);
  auto engine = imn::init<imn_engine>();
  engine.batch = 4;
  engine.channels = 2;
  engine.height = engine.width = 224;
  engine.n_statistics = 4;
  engine.n_outputs = 7;
  const imn::Scorer scorer(context, engine, [](const float*, const float*, float*, std::int64_t) {
    throw std::domain_error("from the engine");
  });
  try {
    imn::pick(section, scorer);
    require(false, "an engine that throws ends the pick");
  } catch (const std::domain_error& error) {
    require(std::strcmp(error.what(), "from the engine") == 0, "the engine's exception comes back");
  }
  try {
    imn::pick(section, imn::Scorer(context, "moran"), nullptr, top(3),
              [](std::int64_t, std::int64_t) -> bool { throw std::out_of_range("from progress"); });
    require(false, "progress that throws ends the pick");
  } catch (const std::out_of_range&) {
  }
}

// The share of the C layer in a pick: everything but the native stages, from the record's own seconds.
void cost(const std::string& path, const std::string& scorer_name) {
  const imn::Context context;
  const imn::Dataset section(context, path);
  const imn::Scorer scorer(context, scorer_name);
  const imn::Axis axis(section);
  double best = 1.0;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const imn::Peaks peaks = imn::pick(section, scorer, &axis, top(10));
    const std::vector<double> all = table(peaks);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const std::string json = peaks.json();
    const std::size_t at = json.find("\"total\": ");
    const double inside = std::atof(json.c_str() + at + 9);
    best = std::min(best, (seconds - inside) / seconds);
  }
  std::printf("%.5f\n", best);
}

void fails_softly(const std::string& path) {
  const imn::Context context;
  try {
    const imn::Dataset section(context, path + ".missing");
    require(false, "a missing file is an error");
  } catch (const imn::Error& error) {
    require(error.status() == IMN_ERR_FILE, "a missing file is IMN_ERR_FILE");
  }
}

// A child of fork() is refused the scorers of its parent, and may make its own.
void forks(const std::string& path) {
#ifndef _WIN32
  const imn::Context context;
  const imn::Dataset section(context, path);
  const imn::Scorer scorer(context, "moran");
  const pid_t child = ::fork();
  if (child == 0) {
    imn_peaks* peaks = nullptr;
    const auto options = top(3);
    const bool refused = imn_pick(section.get(), scorer.get(), nullptr, &options, &peaks) == IMN_ERR_UNAVAILABLE;
    ::_exit(refused && picked_with(section, "moran").size() > 0 ? 0 : 1);
  }
  int status = -1;
  require(::waitpid(child, &status, 0) == child && status == 0, "a child is refused the scorer of its parent");
#else
  (void)path;
#endif
}

// What is logged about a section and its pick.
void logs(const std::string& path) {
  std::vector<std::string> lines;
  const imn::Context context([&](int, const std::string& text) { lines.push_back(text); });
  const imn::Dataset section(context, path);
  const imn::Axis axis = imn::Axis::given(section, {1.5, 1.5, 700.0}, 10.0);
  imn::pick(section, imn::Scorer(context, "moran"), &axis, top(2));
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string name = argv[1], path = argv[2], argument = argc > 3 ? argv[3] : "";
  const std::map<std::string, std::function<void()>> cases{
      {"readings", [&] { readings(path); }},
      {"reader", [&] { reader(path); }},
      {"shrinks", [&] { shrinks(path, argument); }},
      {"versions", [&] { versions(path); }},
      {"threads", [&] { threads(path); }},
      {"shared", [&] { shared(path); }},
      {"opens", [&] { opens(path, argument); }},
      {"picks", [&] { picks(path, argument); }},
      {"exceptions", [&] { exceptions(path, argument); }},
      {"cost", [&] { cost(path, argument); }},
      {"fork", [&] { forks(path); }},
      {"fails", [&] { fails_softly(path); }},
      {"logs", [&] { logs(path); }},
  };
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
