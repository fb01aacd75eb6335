// Cases that the tests run by name: behaviour CASE SECTION [ARGUMENT]. Each prints what pytest compares, or "ok".
#include <chrono>
#include <filesystem>
#include <stdexcept>

#include "helpers.h"

namespace {

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
void reader(const std::string& path) {
  const imn::Context context;
  const imn::Dataset section(context, path);
  Spectra spectra(section);
  const imn::Dataset handed(context, spectra.reader());
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
  for (int i = 0; i < std::max(20, n / 10); ++i) round();  // the allocator keeps memory for each thread
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

// Each round makes a scorer and picks with it: a statistic, now and then an engine with threads of its own.
void picks(const std::string& path, const std::string& n, const std::string& models) {
  const imn::Context context = context_with(models);
  const imn::Dataset section(context, path);
  int k = 0;
  rounds(std::atoi(n.c_str()), [&] {
    picked_with(section, "moran");
    if (k++ % 10 == 0) table(imn::pick(section, bright_engine(context, 2), nullptr, top(3)));
  });
}

// Exceptions of C++ callbacks come back as what they were.
void exceptions(const std::string& path, const std::string& models) {
  const imn::Context context = context_with(models);
  const imn::Dataset section(context, path);
  for (const std::int32_t parallel : {0, 3}) {
    const imn::Scorer scorer(context, bundled_shape(parallel), [](const float*, const float*, float*, std::int64_t) {
      throw std::domain_error("from the engine");
    });
    for (int i = 0; i < 3; ++i) {
      try {
        imn::pick(section, scorer);
        require(false, "an engine that throws ends the pick");
      } catch (const std::domain_error& error) {
        require(std::strcmp(error.what(), "from the engine") == 0, "the engine's exception comes back");
      }
    }
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
  const std::string path = argv[2], argument = argc > 3 ? argv[3] : "", second = argc > 4 ? argv[4] : "";
  return run_case(argv[1], {
                               {"readings", [&] { readings(path); }},
                               {"reader", [&] { reader(path); }},
                               {"shrinks", [&] { shrinks(path, argument); }},
                               {"versions", [&] { versions(path); }},
                               {"opens", [&] { opens(path, argument); }},
                               {"picks", [&] { picks(path, argument, second); }},
                               {"exceptions", [&] { exceptions(path, argument); }},
                               {"cost", [&] { cost(path, argument); }},
                               {"fails", [&] { fails_softly(path); }},
                               {"logs", [&] { logs(path); }},
                           });
}
