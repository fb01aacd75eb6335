// Picks, and what they found.
#include <algorithm>
#include <limits>

#include "capi/objects.h"
#include "pick/pixels.h"

namespace imn::capi {

namespace {

pick::Options pick_options(const imn_pick_options& given, const Context& context, const std::atomic<bool>* cancel) {
  pick::Options options;
  if (given.top != 0) options.top = given.top;
  if (given.min_score != nullptr) options.min_score = *given.min_score;
  options.threads = checked_threads(given.threads, context.threads);
  if (given.memory_limit < 0 || given.device_memory_limit < 0) {
    throw ArgumentError("imn_pick_options: limits of memory must not be negative");
  }
  if (given.memory_limit > 0) options.memory_limit = given.memory_limit;
  if (given.device_memory_limit > 0) options.device_memory_limit = given.device_memory_limit;
  options.cancel = cancel;
  require_zero(given.reserved, "imn_pick_options");
  const std::optional<images::Norm> norms[] = {std::nullopt, images::Norm::tic, images::Norm::rms,
                                               images::Norm::median};
  if (given.normalize < IMN_NORMALIZE_NONE || given.normalize > IMN_NORMALIZE_MEDIAN) {
    throw ArgumentError("imn_pick_options: normalize must be one of IMN_NORMALIZE_..., not " +
                        std::to_string(given.normalize));
  }
  options.normalize = norms[given.normalize];
  if (given.progress != nullptr) {
    options.progress = [call = given.progress, user = given.user](std::int64_t done, std::int64_t total) {
      if (call(user, done, total) != 0) throw Cancelled();
    };
  }
  return options;
}

template <typename T>
void copy_or(const std::vector<T>& values, std::int64_t n, double otherwise, double* to) {
  if (values.empty()) {
    std::fill_n(to, n, otherwise);
  } else {
    std::transform(values.begin(), values.end(), to, [](T value) { return static_cast<double>(value); });
  }
}

void copy_column(const pick::Peaks& peaks, std::int32_t column, double* to) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  const std::int64_t n = peaks.n();
  switch (column) {
    case IMN_COL_MZ:
      return copy_or(peaks.mz, n, kUnknown, to);
    case IMN_COL_MZ_LO:
      return copy_or(peaks.mz_lo, n, kUnknown, to);
    case IMN_COL_MZ_HI:
      return copy_or(peaks.mz_hi, n, kUnknown, to);
    case IMN_COL_SCORE:
      return copy_or(peaks.score, n, kUnknown, to);
    case IMN_COL_FREQUENCY:
      return copy_or(peaks.frequency, n, kUnknown, to);
    case IMN_COL_LABEL:
      return copy_or(peaks.label, n, kUnknown, to);
    case IMN_COL_STRUCTURE:
      return copy_or(peaks.structure, n, kUnknown, to);
    case IMN_COL_CHANNEL:
      return copy_or(peaks.channel, n, kUnknown, to);
    case IMN_COL_BLANK:
      return copy_or(peaks.blank, n, 0.0, to);
    case IMN_COL_SPARED:
      return copy_or(peaks.spared, n, 0.0, to);
    default:
      break;
  }
  const std::int32_t of_class = column - IMN_COL_P;
  if (of_class < 0 || of_class >= static_cast<std::int32_t>(score::kClasses)) {
    throw ArgumentError("peaks have no column " + std::to_string(column));
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i) * score::kClasses + static_cast<std::size_t>(of_class);
    to[i] = peaks.probabilities.empty() ? kUnknown : peaks.probabilities[at];
  }
}

// Throws ArgumentError where a network is to score images of too few pixels. `mask`: 1 = measured; empty: by NaN.
void require_pixels(const ImageStack& stack, std::vector<std::uint8_t> mask) {
  const std::int64_t pixels = std::int64_t{stack.height} * stack.width;
  if (mask.empty()) {
    mask.resize(static_cast<std::size_t>(pixels));
    for (std::int64_t at = 0; at < stack.n * pixels; ++at) {
      if (stack.data[at] == stack.data[at]) mask[static_cast<std::size_t>(at % pixels)] = 1;
    }
  }
  if (std::count(mask.begin(), mask.end(), std::uint8_t{1}) == 0) return;  // blank images
  const std::string fault = pick::too_few({mask, stack.height, stack.width});
  if (!fault.empty()) throw ArgumentError("images: " + fault);
}

}  // namespace

}  // namespace imn::capi

using namespace imn::capi;

extern "C" {

imn_status IMN_CALL imn_pick(const imn_dataset* dataset, imn_scorer* scorer, const imn_axis* axis,
                             const imn_pick_options* options, imn_peaks** out) {
  return guarded([&] {
    clear_out(out);
    const auto section = object_of<Dataset>(dataset);
    const auto scoring = object_of<Scorer>(scorer);
    const imn_pick_options given = options_of(options, "imn_pick_options");
    const auto cancel = cancel_of(given.cancel);
    const imn::pick::Options native = pick_options(given, *section->context, flag_of(cancel));
    imn::pick::check_cut(native);
    imn::pick::require_cut(scoring->native.name, native, scoring->native.threshold());
    const std::size_t told = section->plane->file().warnings().size();
    imn::pick::Channels channels;
    if (axis != nullptr) {
      channels = object_of<Axis>(axis)->channels;
    } else {
      imn::images::AxisOptions search;
      search.threads = native.threads;
      search.cancel = native.cancel;
      channels = imn::pick::found_channels(*section->plane, search);
    }
    auto peaks = std::make_shared<Peaks>();
    {
      const imn::score::FeedLock lock(scoring->feeder);
      peaks->table = imn::pick::pick(*section->plane, scoring->native, channels, native);
    }
    section->tell_warnings(told);
    for (const std::string& text : peaks->table.warnings) {
      section->context->tell(IMN_LOG_WARNING, section->plane->file().path() + ": " + text);
    }
    peaks->json = imn::pick::run_record(*section->plane, section->opened, scoring->native, channels, native,
                                        peaks->table, IMN_VERSION);
    *out = new_handle<imn_peaks>(std::move(peaks));
  });
}

imn_status IMN_CALL imn_score_images(imn_scorer* scorer, const float* images, const uint8_t* mask, int64_t n,
                                     int32_t height, int32_t width, const imn_pick_options* options, imn_peaks** out) {
  return guarded([&] {
    clear_out(out);
    const auto scoring = object_of<Scorer>(scorer);
    const imn_pick_options given = options_of(options, "imn_pick_options");
    const auto cancel = cancel_of(given.cancel);
    const imn::pick::Options native = pick_options(given, *scoring->context, flag_of(cancel));
    if (native.normalize) throw imn::ArgumentError("images have no spectra; normalize is for imn_pick()");
    if (n < 0 || height < 1 || width < 1) {
      throw imn::ArgumentError("images must have at least one pixel, and n must not be negative");
    }
    if (images == nullptr && n > 0) throw imn::ArgumentError("images is NULL");
    const std::int64_t pixels = std::int64_t{height} * width;
    std::vector<std::uint8_t> measured;
    if (mask != nullptr) {
      measured.resize(static_cast<std::size_t>(pixels));
      std::transform(mask, mask + pixels, measured.begin(), [](std::uint8_t m) { return m != 0 ? 1 : 0; });
    }
    imn::ImageStack stack;
    stack.data = images;
    stack.n = n;
    stack.height = height;
    stack.width = width;
    stack.mask = measured.empty() ? nullptr : measured.data();
    if (n > 0 && scoring->model) require_pixels(stack, measured);
    auto peaks = std::make_shared<Peaks>();
    {
      const imn::score::FeedLock lock(scoring->feeder);
      peaks->table = imn::pick::score_images(stack, scoring->native, native);
    }
    peaks->json = imn::pick::run_record(scoring->native, native, peaks->table, IMN_VERSION);
    *out = new_handle<imn_peaks>(std::move(peaks));
  });
}

void IMN_CALL imn_peaks_free(imn_peaks* peaks) { drop_handle(KindOf<Peaks>::name, peaks); }

imn_status IMN_CALL imn_peaks_count(const imn_peaks* peaks, int64_t* candidates, int64_t* picked) {
  return guarded([&] {
    const auto object = object_of<Peaks>(peaks);
    if (candidates != nullptr) *candidates = object->table.n();
    if (picked != nullptr) *picked = object->table.n_picked;
  });
}

imn_status IMN_CALL imn_peaks_column(const imn_peaks* peaks, int32_t column, double* to, int64_t room) {
  return guarded([&] {
    const auto object = object_of<Peaks>(peaks);
    require_room(to, static_cast<std::uint64_t>(std::max<std::int64_t>(0, room)),
                 static_cast<std::uint64_t>(object->table.n()), "to");
    copy_column(object->table, column, to);
  });
}

imn_status IMN_CALL imn_peaks_json(const imn_peaks* peaks, char* to, uint64_t n, uint64_t* length) {
  return guarded([&] { copy_text(object_of<Peaks>(peaks)->json, to, n, length); });
}

}  // extern "C"
