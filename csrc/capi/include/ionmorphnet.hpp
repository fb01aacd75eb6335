// ionmorphnet.hpp: RAII over the C interface, header-only, C++17. docs/guide/embedding.md.
//
// Failures are ionmorphnet::Error, with the status. Callbacks are std::function; what they throw is kept and thrown
// again by the call that they belong to. Objects are movable handles; they may be destroyed in any order.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ionmorphnet.h"

namespace ionmorphnet {

class Error : public std::runtime_error {
 public:
  Error(imn_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  imn_status status() const noexcept { return status_; }

 private:
  imn_status status_;
};

// A structure of options with its size set and zero elsewhere.
template <typename Options>
Options init() {
  Options options{};
  options.struct_size = static_cast<std::uint32_t>(sizeof options);
  return options;
}

namespace detail {

// Of this thread's last failure.
inline std::string message() {
  std::string text(static_cast<std::size_t>(imn_message(nullptr, 0)), '\0');
  imn_message(text.data(), text.size());
  text.pop_back();
  return text;
}

inline void check(imn_status status) {
  if (status != IMN_OK) throw Error(status, message());
}

// Calls get(to, n, length) twice.
template <typename Get>
std::string text(Get&& get) {
  std::uint64_t length = 0;
  check(get(nullptr, 0, &length));
  std::string found(static_cast<std::size_t>(length), '\0');
  check(get(found.data(), length, nullptr));
  found.pop_back();
  return found;
}

template <typename Handle, void(IMN_CALL* Free)(Handle*)>
struct Release {
  void operator()(Handle* handle) const noexcept { Free(handle); }
};
template <typename Handle, void(IMN_CALL* Free)(Handle*)>
using Owned = std::unique_ptr<Handle, Release<Handle, Free>>;

// Keeps the first exception of a callback, because none may pass through C. An engine's threads may throw at once.
class Caught {
 public:
  template <typename Body>
  std::int32_t run(Body&& body) noexcept {
    try {
      return body();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      return -1;
    }
  }
  // Throws what was kept if a call failed with `cause`, the status that a failing callback leads to. A call that went
  // well has nothing to do with it: another thread's pick with the same scorer may have failed.
  void rethrow(imn_status status, imn_status cause) {
    if (status == IMN_OK) return;
    std::exception_ptr error;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::swap(error, error_);
    }
    if (error && status == cause) std::rethrow_exception(error);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace detail

inline std::string version() { return imn_version(); }

using Log = std::function<void(int level, const std::string& text)>;

class Context {
 public:
  // `log` must not throw.
  explicit Context(Log log = {}, imn_context_options options = init<imn_context_options>())
      : log_(std::make_shared<Log>(std::move(log))) {
    if (*log_) {
      options.user = log_.get();
      options.log = [](void* user, std::int32_t level, const char* text) { (*static_cast<Log*>(user))(level, text); };
    }
    imn_context* made = nullptr;
    detail::check(imn_context_new(&options, &made));
    handle_.reset(made);
  }
  imn_context* get() const noexcept { return handle_.get(); }

 private:
  std::shared_ptr<Log> log_;  // outlives the handle; keep the context while anything made from it logs
  detail::Owned<imn_context, imn_context_free> handle_;
};

class Cancel {
 public:
  Cancel() {
    imn_cancel* made = nullptr;
    detail::check(imn_cancel_new(&made));
    handle_.reset(made);
  }
  void set() { detail::check(imn_cancel_set(handle_.get())); }
  void reset() { detail::check(imn_cancel_reset(handle_.get())); }
  imn_cancel* get() const noexcept { return handle_.get(); }

 private:
  detail::Owned<imn_cancel, imn_cancel_free> handle_;
};

class Dataset {
 public:
  Dataset(const Context& context, const std::string& imzml, imn_open_options options = init<imn_open_options>()) {
    imn_dataset* made = nullptr;
    detail::check(imn_dataset_open(context.get(), imzml.c_str(), &options, &made));
    handle_.reset(made);
  }
  // The functions and `user` of sources and readers must outlive the dataset.
  Dataset(const Context& context, const imn_source& imzml, const imn_source& ibd,
          imn_open_options options = init<imn_open_options>()) {
    imn_dataset* made = nullptr;
    detail::check(imn_dataset_open_source(context.get(), &imzml, &ibd, &options, &made));
    handle_.reset(made);
  }
  Dataset(const Context& context, const imn_reader& reader, imn_open_options options = init<imn_open_options>()) {
    imn_dataset* made = nullptr;
    detail::check(imn_dataset_from_reader(context.get(), &reader, &options, &made));
    handle_.reset(made);
  }

  double number(std::int32_t what) const {
    double value = 0;
    detail::check(imn_dataset_number(handle_.get(), what, &value));
    return value;
  }
  std::int64_t height() const { return static_cast<std::int64_t>(number(IMN_HEIGHT)); }
  std::int64_t width() const { return static_cast<std::int64_t>(number(IMN_WIDTH)); }
  std::vector<std::string> warnings() const {
    std::vector<std::string> all;
    const auto n = static_cast<std::int64_t>(number(IMN_N_WARNINGS));
    for (std::int64_t i = 0; i < n; ++i) {
      all.push_back(detail::text([&](char* to, std::uint64_t room, std::uint64_t* length) {
        return imn_dataset_text(handle_.get(), IMN_TEXT_WARNING, i, to, room, length);
      }));
    }
    return all;
  }
  // (n, height, width) of m/z windows; NaN = not measured.
  std::vector<float> images(const std::vector<double>& lo, const std::vector<double>& hi) const {
    if (lo.size() != hi.size()) throw Error(IMN_ERR_ARGUMENT, "lo and hi must have the same length");
    std::vector<float> values(lo.size() * static_cast<std::size_t>(height() * width()));
    detail::check(imn_dataset_images(handle_.get(), lo.data(), hi.data(), static_cast<std::int64_t>(lo.size()), 0,
                                     nullptr, values.data(), values.size()));
    return values;
  }
  imn_dataset* get() const noexcept { return handle_.get(); }

 private:
  detail::Owned<imn_dataset, imn_dataset_free> handle_;
};

class Axis {
 public:
  explicit Axis(const Dataset& dataset, imn_axis_options options = init<imn_axis_options>()) {
    imn_axis* made = nullptr;
    detail::check(imn_axis_find(dataset.get(), &options, &made));
    handle_.reset(made);
  }
  static Axis given(const Dataset& dataset, const std::vector<double>& mz, double ppm) {
    auto options = init<imn_axis_options>();
    options.kind = IMN_AXIS_GIVEN;
    options.mz = mz.data();
    options.n_mz = static_cast<std::int64_t>(mz.size());
    options.ppm = ppm;
    return Axis(dataset, options);
  }
  std::vector<double> column(std::int32_t which) const {
    std::int64_t n = 0;
    detail::check(imn_axis_count(handle_.get(), &n));
    std::vector<double> values(static_cast<std::size_t>(n));
    detail::check(imn_axis_column(handle_.get(), which, values.data(), n));
    return values;
  }
  imn_axis* get() const noexcept { return handle_.get(); }

 private:
  detail::Owned<imn_axis, imn_axis_free> handle_;
};

// An engine of the caller in host memory: images (n, channels, size, size), statistics (n, k) or null, outputs.
using Score = std::function<void(const float* images, const float* statistics, float* outputs, std::int64_t n)>;

class Scorer {
 public:
  explicit Scorer(const Context& context, imn_scorer_options options = init<imn_scorer_options>()) {
    start(context, options);
  }
  // A classical statistic or an engine by name.
  Scorer(const Context& context, const std::string& engine) {
    auto options = init<imn_scorer_options>();
    options.engine = engine.c_str();
    start(context, options);
  }
  // `score` runs the network of the model; sizes are in `engine`, whose functions are set here.
  Scorer(const Context& context, imn_engine engine, Score score,
         imn_scorer_options options = init<imn_scorer_options>()) {
    custom_ = std::make_shared<Custom>();
    custom_->score = std::move(score);
    auto* const held = new std::shared_ptr<Custom>(custom_);
    engine.user = held;
    engine.score = [](void* user, const void* images, const float* statistics, float* outputs, std::int64_t n, void*) {
      Custom& custom = **static_cast<std::shared_ptr<Custom>*>(user);
      return custom.caught.run([&] {
        custom.score(static_cast<const float*>(images), statistics, outputs, n);
        return 0;
      });
    };
    engine.destroy = [](void* user) { delete static_cast<std::shared_ptr<Custom>*>(user); };
    options.custom = &engine;
    start(context, options);
  }

  std::string text(std::int32_t what) const {
    return detail::text([&](char* to, std::uint64_t room, std::uint64_t* length) {
      return imn_scorer_text(handle_.get(), what, to, room, length);
    });
  }
  imn_scorer* get() const noexcept { return handle_.get(); }

  // Throws what the engine threw, or the failure.
  void check(imn_status status) const {
    if (custom_) custom_->caught.rethrow(status, IMN_ERR_CALLBACK);
    detail::check(status);
  }

 private:
  struct Custom {
    Score score;
    detail::Caught caught;
  };
  void start(const Context& context, const imn_scorer_options& options) {
    imn_scorer* made = nullptr;
    detail::check(imn_scorer_new(context.get(), &options, &made));
    handle_.reset(made);
  }
  std::shared_ptr<Custom> custom_;
  detail::Owned<imn_scorer, imn_scorer_free> handle_;
};

class Peaks {
 public:
  explicit Peaks(imn_peaks* handle) : handle_(handle) {}

  std::int64_t candidates() const { return count().first; }
  std::int64_t picked() const { return count().second; }
  // One value per candidate, ranked; the first picked() rows are the picks.
  std::vector<double> column(std::int32_t which) const {
    std::vector<double> values(static_cast<std::size_t>(candidates()));
    detail::check(imn_peaks_column(handle_.get(), which, values.data(), static_cast<std::int64_t>(values.size())));
    return values;
  }
  std::string json() const {
    return detail::text([&](char* to, std::uint64_t room, std::uint64_t* length) {
      return imn_peaks_json(handle_.get(), to, room, length);
    });
  }
  imn_peaks* get() const noexcept { return handle_.get(); }

 private:
  std::pair<std::int64_t, std::int64_t> count() const {
    std::int64_t candidates = 0, picked = 0;
    detail::check(imn_peaks_count(handle_.get(), &candidates, &picked));
    return {candidates, picked};
  }
  detail::Owned<imn_peaks, imn_peaks_free> handle_;
};

// Returns whether to go on.
using Progress = std::function<bool(std::int64_t done, std::int64_t total)>;

inline Peaks pick(const Dataset& dataset, const Scorer& scorer, const Axis* axis = nullptr,
                  imn_pick_options options = init<imn_pick_options>(), Progress progress = {}) {
  struct Call {
    Progress progress;
    detail::Caught caught;
  } call;
  call.progress = std::move(progress);
  if (call.progress) {
    options.user = &call;
    options.progress = [](void* user, std::int64_t done, std::int64_t total) {
      Call& of = *static_cast<Call*>(user);
      return of.caught.run([&] { return of.progress(done, total) ? 0 : 1; });
    };
  }
  imn_peaks* made = nullptr;
  const imn_status status =
      imn_pick(dataset.get(), scorer.get(), axis == nullptr ? nullptr : axis->get(), &options, &made);
  call.caught.rethrow(status, IMN_ERR_CANCELLED);
  scorer.check(status);
  return Peaks(made);
}

inline Peaks score_images(const Scorer& scorer, const std::vector<float>& images, std::int64_t n, std::int32_t height,
                          std::int32_t width, const std::uint8_t* mask = nullptr,
                          imn_pick_options options = init<imn_pick_options>()) {
  if (images.size() != static_cast<std::size_t>(n * height * width)) {
    throw Error(IMN_ERR_ARGUMENT, "images must hold n * height * width values");
  }
  imn_peaks* made = nullptr;
  scorer.check(imn_score_images(scorer.get(), images.data(), mask, n, height, width, &options, &made));
  return Peaks(made);
}

}  // namespace ionmorphnet
