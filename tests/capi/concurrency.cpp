// Threads, failures in threads of the library, and forked processes: concurrency CASE SECTION [ARGUMENT]. Also run with
// sanitizers (scripts/sanitize.py).
#include <thread>

#include "helpers.h"

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

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
void shared(const std::string& path, const std::string& models) {
  const imn::Context context = context_with(models);
  const imn::Dataset section(context, path);
  const imn::Scorer scorers[] = {imn::Scorer(context, "moran"), bright_engine(context, 0), bright_engine(context, 3)};
  for (const imn::Scorer& scorer : scorers) {
    const std::vector<double> alone = table(imn::pick(section, scorer, nullptr, top(5)));
    std::vector<std::thread> all;
    for (int i = 0; i < 4; ++i) {
      all.emplace_back([&] {
        require(table(imn::pick(section, scorer, nullptr, top(5))) == alone, "picks that share a scorer agree");
      });
    }
    for (std::thread& thread : all) thread.join();
  }
}

// A third thread cancels picks of engines, whose threads are at work then; the scorers go on working.
void cancels(const std::string& path, const std::string& models) {
  const imn::Context context = context_with(models);
  const imn::Dataset section(context, path);
  for (const std::int32_t parallel : {0, 3}) {
    const imn::Scorer scorer = bright_engine(context, parallel, 3);
    const std::vector<double> alone = table(imn::pick(section, scorer, nullptr, top(5)));
    imn::Cancel cancel;
    std::atomic<bool> started{false};
    std::thread third([&] {
      while (!started) std::this_thread::yield();
      cancel.set();
    });
    auto options = top(5);
    options.cancel = cancel.get();
    require_error(IMN_ERR_CANCELLED, "", [&] {
      while (true) {
        imn::pick(section, scorer, nullptr, options, [&](std::int64_t, std::int64_t) {
          started = true;
          return true;
        });
      }
    });
    third.join();
    cancel.reset();
    require(table(imn::pick(section, scorer, nullptr, options)) == alone, "a cancelled scorer works again");
  }
}

// Readers, sources and engines that start to fail while threads of the library use them, and work again.
void failures(const std::string& path, const std::string& models) {
  const imn::Context context = context_with(models);
  const imn::Dataset file(context, path);
  const std::vector<double> alone = picked_with(file, "moran");
  {
    Spectra spectra(file);
    const imn::Dataset section(context, spectra.reader());
    require(picked_with(section, "moran") == alone, "a reader gives what the file does");
    spectra.broken = true;
    require_error(IMN_ERR_CALLBACK, "read returned 9 for spectrum 7", [&] { picked_with(section, "moran"); });
    spectra.broken = false;
    require(picked_with(section, "moran") == alone, "a reader that works again gives what it did");
  }
  {
    Memory head, body;
    head.bytes = content(path);
    body.bytes = content(ibd_of(path));
    const imn::Dataset section(context, source_of(head, "share/a.imzML"), source_of(body, "share/a.ibd"));
    require(picked_with(section, "moran") == alone, "a source gives what the file does");
    body.result = -5;
    require_error(IMN_ERR_CALLBACK, "share/a.ibd: read_at returned -5", [&] { picked_with(section, "moran"); });
    body.result = 1;
    require_error(IMN_ERR_FILE, "cannot be read to its end", [&] { picked_with(section, "moran"); });
    body.result = 0;
    require(picked_with(section, "moran") == alone, "a source that works again gives what it did");
  }
  for (const std::int32_t parallel : {0, 3}) {
    std::atomic<int> calls{0};
    const imn::Scorer scorer(context, bundled_shape(parallel),
                             [&](const float*, const float*, float* outputs, std::int64_t n) {
                               std::fill_n(outputs, 7 * n, 0.25f);
                               if (++calls >= 2) throw std::runtime_error("the engine's device is gone");
                             });
    for (int i = 0; i < 3; ++i) {
      calls = 0;
      try {
        imn::pick(file, scorer, nullptr, top(5));
        require(false, "an engine that fails ends the pick");
      } catch (const std::runtime_error& error) {
        require(std::strstr(error.what(), "device is gone") != nullptr, "the cause is told");
      }
    }
  }
}

// Handles that are released by one thread while another uses them; who has an object keeps it.
void released(const std::string& path) {
  std::vector<double> alone;
  for (int round = 0; round < 6; ++round) {
    imn_context* context = nullptr;
    imn_dataset* section = nullptr;
    imn_axis* axis = nullptr;
    imn_scorer* scorer = nullptr;
    imn_cancel* cancel = nullptr;
    auto scoring = imn::init<imn_scorer_options>();
    scoring.engine = "chaos";
    imn::detail::check(imn_context_new(nullptr, &context));
    imn::detail::check(imn_dataset_open(context, path.c_str(), nullptr, &section));
    imn::detail::check(imn_axis_find(section, nullptr, &axis));
    imn::detail::check(imn_scorer_new(context, &scoring, &scorer));
    imn::detail::check(imn_cancel_new(&cancel));
    std::atomic<bool> started{false};
    std::thread asks([&] {
      double value = 0.0;
      while (imn_dataset_number(section, IMN_HEIGHT, &value) == IMN_OK && value > 0) std::this_thread::yield();
    });
    std::thread frees([&] {
      while (!started) std::this_thread::yield();
      for (int twice = 0; twice < 2; ++twice) {
        imn_context_free(context), imn_dataset_free(section), imn_axis_free(axis);
        imn_scorer_free(scorer), imn_cancel_free(cancel);
      }
    });
    auto options = top(5);
    options.cancel = cancel;
    options.user = &started;
    options.progress = [](void* user, std::int64_t, std::int64_t) {
      *static_cast<std::atomic<bool>*>(user) = true;
      return std::int32_t{0};
    };
    imn_peaks* made = nullptr;
    imn::detail::check(imn_pick(section, scorer, axis, &options, &made));
    const std::vector<double> found = table(imn::Peaks(made));
    if (round == 0) alone = found;
    require(found == alone, "a pick whose handles are released goes on");
    frees.join();
    asks.join();
    require(imn_pick(section, scorer, axis, &options, &made) == IMN_ERR_ARGUMENT, "released handles are recognised");
  }
}

#ifndef _WIN32
// ThreadSanitizer cannot follow threads that a child of a process with several threads starts.
#ifdef __SANITIZE_THREAD__
constexpr bool kNoThreadsInChildren = true;
#else
constexpr bool kNoThreadsInChildren = false;
#endif

// Runs `body` in a child; it must return true within a minute.
void in_child(const char* what, const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    bool good = false;
    try {
      good = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  require(::waitpid(child, &status, 0) == child && status == 0, what);
}

imn_status pick_status(const imn::Dataset& section, const imn::Scorer& scorer) {
  imn_peaks* peaks = nullptr;
  const auto options = top(3);
  const imn_status status = imn_pick(section.get(), scorer.get(), nullptr, &options, &peaks);
  imn_peaks_free(peaks);
  return status;
}

// A child of fork() is refused the scorers of its parent, ends without waiting for their threads, and makes its own. If
// a call was under way, it is refused all handles of its parent.
void forks(const std::string& path, const std::string& models) {
  const imn::Context context = context_with(models);
  const imn::Dataset section(context, path);
  const std::vector<double> alone = picked_with(section, "moran");
  {
    const imn::Scorer statistic(context, "moran");
    in_child("a child uses the dataset, but not the scorer of its idle parent", [&] {
      imn::Scorer threaded = bright_engine(context, 2);
      bool good = pick_status(section, statistic) == IMN_ERR_UNAVAILABLE && picked_with(section, "moran") == alone;
      return good && pick_status(section, threaded) == IMN_OK;
    });
  }
  imn::Scorer threaded = bright_engine(context, 2);
  require(pick_status(section, threaded) == IMN_OK, "the parent picks");
  in_child("a child is refused an engine of its parent, and releases it", [&] {
    const bool refused = pick_status(section, threaded) == IMN_ERR_UNAVAILABLE;
    const imn::Scorer gone = std::move(threaded);
    return refused;
  });
  require(pick_status(section, threaded) == IMN_OK, "the parent's own scorer is as it was");

  std::atomic<bool> started{false}, done{false};
  std::thread busy([&] {
    while (!done) {
      auto options = top(3);
      imn::pick(section, threaded, nullptr, options, [&](std::int64_t, std::int64_t) {
        started = true;
        while (!done) pause_ms(1);
        return true;
      });
    }
  });
  std::thread handles([&] {
    while (!done) {
      imn_cancel* cancel = nullptr;
      imn_cancel_new(&cancel);
      imn_cancel_free(cancel);
    }
  });
  while (!started) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    in_child("a child of a busy parent is refused its handles, and makes its own", [&] {
      double height = 0.0;
      const bool refused = imn_dataset_number(section.get(), IMN_HEIGHT, &height) == IMN_ERR_UNAVAILABLE &&
                           pick_status(section, threaded) == IMN_ERR_UNAVAILABLE;
      imn_dataset_free(section.get());
      if (i % 5 != 0 || kNoThreadsInChildren) return refused;
      const imn::Context own;
      return refused && picked_with(imn::Dataset(own, path), "moran") == alone;
    });
  }
  done = true;
  busy.join();
  handles.join();
}

// A child of a process that started a plug-in's engine: its own start is refused, or works, but never hangs.
// argument: ENGINE_DIR:MODEL_DIR:ENGINE:LIBRARY. Prints "picked" or why it is refused.
void fork_engine(const std::string& path, const std::string& argument) {
  std::vector<std::string> parts{""};
  for (const char c : argument) {
    if (c == ':') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  auto folders = imn::init<imn_context_options>();
  folders.engine_dir = parts.at(0).c_str();
  folders.model_dir = parts.at(1).c_str();
  const imn::Context context({}, folders);
  const imn::Dataset section(context, path);
  const auto pick = [&] {
    auto options = imn::init<imn_scorer_options>();
    options.engine = parts.at(2).c_str();
    options.engine_library = parts.at(3).c_str();
    return table(imn::pick(section, imn::Scorer(context, options), nullptr, top(3)));
  };
  std::vector<double> alone;
  in_child("a child starts the engine first", [&] { return !pick().empty(); });
  alone = pick();
  in_child("a child of a process that runs the engine is refused it, or picks the same", [&] {
    try {
      const bool same = pick() == alone;
      std::printf("picked\n");
      std::fflush(stdout);
      return same;
    } catch (const imn::Error& error) {
      std::printf("%s\n", error.what());
      std::fflush(stdout);
      return error.status() == IMN_ERR_UNAVAILABLE;
    }
  });
}
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string path = argv[2], argument = argc > 3 ? argv[3] : "";
  return run_case(argv[1], {
                               {"threads", [&] { threads(path); }},
                               {"shared", [&] { shared(path, argument); }},
                               {"cancels", [&] { cancels(path, argument); }},
                               {"failures", [&] { failures(path, argument); }},
                               {"released", [&] { released(path); }},
#ifndef _WIN32
                               {"fork", [&] { forks(path, argument); }},
                               {"fork_engine", [&] { fork_engine(path, argument); }},
#endif
                           });
}
