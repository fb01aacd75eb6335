// Candidate channels.
#include <algorithm>

#include "capi/objects.h"

namespace imn::capi {

namespace {

pick::Channels channels_of(const Dataset& dataset, const imn_axis_options& given, const std::atomic<bool>* cancel) {
  if (given.kind < IMN_AXIS_AUTO || given.kind > IMN_AXIS_GIVEN) {
    throw ArgumentError("imn_axis_options: kind must be one of IMN_AXIS_..., not " + std::to_string(given.kind));
  }
  if (given.kind == IMN_AXIS_GIVEN) {
    if (given.n_mz < 0 || (given.mz == nullptr && given.n_mz > 0)) {
      throw ArgumentError("imn_axis_options: mz is NULL, or n_mz is negative");
    }
    if (given.min_frequency != 0.0) throw ArgumentError("min_frequency is for channels found in the data");
    pick::GivenWindows windows;
    if (given.ppm != 0.0) windows.ppm = given.ppm;
    if (given.tol != 0.0) windows.tol = given.tol;
    pick::Channels channels = pick::given_channels({given.mz, static_cast<std::size_t>(given.n_mz)}, windows);
    if (channels.repeats > 0) {
      dataset.context->tell(IMN_LOG_WARNING, "the m/z list contains " + std::to_string(channels.repeats) +
                                                 " repeated values; each m/z is used once");
    }
    return channels;
  }
  if (given.mz != nullptr || given.n_mz != 0 || given.tol != 0.0) {
    throw ArgumentError("mz and tol are for IMN_AXIS_GIVEN");
  }
  constexpr images::AxisKind kKinds[] = {images::AxisKind::automatic, images::AxisKind::bins, images::AxisKind::peaks};
  images::AxisOptions options;
  options.kind = kKinds[given.kind];
  if (given.min_frequency != 0.0) options.min_frequency = given.min_frequency;
  if (given.ppm != 0.0) options.ppm = given.ppm;
  options.threads = checked_threads(given.threads, dataset.context->threads);
  options.cancel = cancel;
  return pick::found_channels(*dataset.plane, options);
}

}  // namespace

}  // namespace imn::capi

using namespace imn::capi;

extern "C" {

imn_status IMN_CALL imn_axis_find(const imn_dataset* dataset, const imn_axis_options* options, imn_axis** out) {
  return guarded([&] {
    clear_out(out);
    const auto object = object_of<Dataset>(dataset);
    const imn_axis_options given = options_of(options, "imn_axis_options");
    require_zero(given.reserved, "imn_axis_options");
    const auto cancel = cancel_of(given.cancel);
    const std::size_t told = object->plane->file().warnings().size();
    auto axis = std::make_shared<Axis>();
    axis->channels = channels_of(*object, given, flag_of(cancel));
    object->tell_warnings(told);
    *out = new_handle<imn_axis>(std::move(axis));
  });
}

void IMN_CALL imn_axis_free(imn_axis* axis) { drop_handle(KindOf<Axis>::name, axis); }

imn_status IMN_CALL imn_axis_count(const imn_axis* axis, int64_t* n) {
  return guarded([&] { required(n, "n") = static_cast<std::int64_t>(object_of<Axis>(axis)->channels.axis.mz.size()); });
}

imn_status IMN_CALL imn_axis_column(const imn_axis* axis, int32_t column, double* to, int64_t room) {
  return guarded([&] {
    const auto object = object_of<Axis>(axis);
    const imn::images::CandidateAxis& found = object->channels.axis;
    const std::vector<double>* values = column == IMN_COL_MZ          ? &found.mz
                                        : column == IMN_COL_MZ_LO     ? &found.mz_lo
                                        : column == IMN_COL_MZ_HI     ? &found.mz_hi
                                        : column == IMN_COL_FREQUENCY ? &found.frequency
                                                                      : nullptr;
    if (values == nullptr) throw imn::ArgumentError("an axis has no column " + std::to_string(column));
    require_room(to, static_cast<std::uint64_t>(std::max<std::int64_t>(0, room)), values->size(), "to");
    std::copy(values->begin(), values->end(), to);
  });
}

}  // extern "C"
