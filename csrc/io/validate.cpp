#include "io/validate.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/error.h"
#include "core/parallel_for.h"

namespace imn::io {

namespace {

// The kind of a problem is its message without the numbers, so that "... (value 17)" is one kind for all spectra.
std::string kind_of(const std::string& message) {
  std::string kind;
  for (const char c : message) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      kind.push_back(c);
    } else if (kind.empty() || kind.back() != '#') {
      kind.push_back('#');
    }
  }
  return kind;
}

class Collector {
 public:
  void add(std::int64_t spectrum, const std::string& message, bool is_error) {
    const std::string kind = kind_of(message);
    const std::lock_guard<std::mutex> lock(mutex_);
    Problem& problem = problems_[kind];
    if (problem.count++ == 0 || spectrum < problem.first) {
      problem.first = spectrum;
      problem.message = message;
      problem.is_error = is_error;
    }
  }

  std::vector<Problem> take() {
    std::vector<Problem> all;
    for (auto& [kind, problem] : problems_) all.push_back(std::move(problem));
    std::stable_sort(all.begin(), all.end(), [](const Problem& a, const Problem& b) { return a.first < b.first; });
    return all;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Problem> problems_;
};

}  // namespace

std::vector<Problem> validate(const Plane& plane, const ValidateOptions& options) {
  constexpr std::int64_t kGrain = 64;
  const std::int64_t n = plane.n_spectra();
  Collector problems;
  std::vector<Spectrum> buffers(static_cast<std::size_t>(thread_count(options.threads)));
  std::mutex progress_mutex;
  std::int64_t done = 0;
  const std::string prefix = plane.file().path() + ": ";
  parallel_for(
      n, kGrain, options.threads,
      [&](std::int64_t begin, std::int64_t end, int worker) {
        Spectrum& spectrum = buffers[static_cast<std::size_t>(worker)];
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t number = plane.number_in_file(i);
          try {
            plane.read(i, spectrum);
          } catch (const FileError& error) {
            std::string message = error.what();
            if (message.starts_with(prefix)) message.erase(0, prefix.size());
            // "spectrum 12: cause": the index is reported separately.
            const auto colon = message.find(": ");
            if (message.starts_with("spectrum ") && colon != std::string::npos) message.erase(0, colon + 2);
            problems.add(number, message, true);
            continue;
          }
          if (spectrum.mz.empty()) {
            problems.add(number, "the spectrum is empty", false);
          }
          if (std::any_of(spectrum.intensity.begin(), spectrum.intensity.end(), [](double v) { return v < 0.0; })) {
            problems.add(number, "an intensity is negative", false);
          }
        }
        if (options.progress) {
          const std::lock_guard<std::mutex> lock(progress_mutex);
          done += end - begin;
          options.progress(done);
        }
      },
      options.cancel);
  plane.copies(options.threads, options.cancel);  // the file's warnings tell of them
  for (const std::int64_t number : plane.overlapping_spectra()) {
    problems.add(number, "one of its arrays overlaps another array of the file", true);
  }
  return problems.take();
}

}  // namespace imn::io
