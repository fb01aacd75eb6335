// Opening sections, and what they hold.
#include <algorithm>
#include <limits>
#include <map>

#include "capi/objects.h"
#include "capi/sources.h"
#include "images/bin.h"
#include "images/mz_window.h"

namespace imn::capi {

namespace {

// Options of imn_open_options in the order of its integers. Throws ArgumentError for an unknown one.
template <typename T, std::size_t N>
T choice(const char* name, std::int32_t value, const T (&known)[N]) {
  if (value >= 0 && value < static_cast<std::int32_t>(N)) return known[value];
  throw ArgumentError(std::string("imn_open_options: ") + name + " must be from 0 to " + std::to_string(N - 1) +
                      ", not " + std::to_string(value));
}

io::OpenOptions open_options(const imn_open_options& given) {
  constexpr io::Reading kReadings[] = {io::Reading::calls, io::Reading::mapped, io::Reading::watched};
  constexpr io::Duplicates kDuplicates[] = {io::Duplicates::first, io::Duplicates::sum, io::Duplicates::mean,
                                            io::Duplicates::error};
  const std::optional<io::SpectrumType> types[] = {std::nullopt, io::SpectrumType::profile, io::SpectrumType::centroid};
  io::OpenOptions options;
  options.reading = choice("io", given.io, kReadings);
  options.duplicates = choice("duplicates", given.duplicates, kDuplicates);
  options.spectrum_type = choice("spectrum_type", given.spectrum_type, types);
  options.strict = given.lenient == 0;
  options.repair = given.repair != 0;
  if (given.ibd_path != nullptr) options.ibd_path = given.ibd_path;
  const std::optional<io::Polarity> polarities[] = {std::nullopt, io::Polarity::positive, io::Polarity::negative};
  options.polarity = choice("polarity", given.polarity, polarities);
  if (given.ms_level < 0) throw ArgumentError("imn_open_options: ms_level must be from 1, or 0 for the lowest");
  if (given.ms_level > 0) options.ms_level = given.ms_level;
  if (given.run != nullptr) options.run = given.run;
  if (given.drop_copies != 0) options.copies = io::Copies::drop;
  return options;
}

// Opens with `open(options)` and makes the handle.
template <typename Open>
imn_status open_with(const imn_context* context, const imn_open_options* options, bool on_disk, imn_dataset** out,
                     Open&& open) {
  return guarded([&] {
    clear_out(out);
    auto dataset = std::make_shared<Dataset>();
    dataset->context = object_of<Context>(context);
    const imn_open_options given = options_of(options, "imn_open_options");
    dataset->opened.options = open_options(given);
    dataset->opened.on_disk = on_disk;
    auto plane = std::make_shared<const io::Plane>(open(dataset->opened.options));
    if (given.choose_plane != 0) {
      plane = plane->at_z(given.z);
      dataset->opened.z = given.z;
    }
    if (given.region != 0) {
      plane = plane->at_region(given.region);
      dataset->opened.region = given.region;
    }
    if (given.max_pixels < 0) throw ArgumentError("imn_open_options: max_pixels must be 0 (no limit) or more");
    const std::int64_t pixels = plane->geometry().n_pixels();
    if (given.max_pixels > 0 && pixels > given.max_pixels) {
      throw ArgumentError(plane->file().path() + ": its images have " + std::to_string(pixels) +
                          " pixels, more than max_pixels allows (" + std::to_string(given.max_pixels) + ")");
    }
    dataset->plane = std::move(plane);
    dataset->tell_warnings(0);
    *out = new_handle<imn_dataset>(std::move(dataset));
  });
}

double number_of(const io::Plane& plane, std::int32_t what) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  const io::File& file = plane.file();
  const auto& size = file.pixel_size_um();
  switch (what) {
    case IMN_N_SPECTRA:
      return static_cast<double>(plane.n_spectra());
    case IMN_HEIGHT:
      return plane.geometry().height;
    case IMN_WIDTH:
      return plane.geometry().width;
    case IMN_N_PIXELS:
      return static_cast<double>(plane.pixels().size());
    case IMN_N_PLANES:
      return static_cast<double>(plane.geometry().z_planes.size());
    case IMN_IS_PROFILE:
      return file.spectrum_type() == io::SpectrumType::profile ? 1.0 : 0.0;
    case IMN_IS_CONTINUOUS:
      return file.spectra().mode() == io::Mode::continuous ? 1.0 : 0.0;
    case IMN_PIXEL_SIZE_X:
      return size ? size->first : kUnknown;
    case IMN_PIXEL_SIZE_Y:
      return size ? size->second : kUnknown;
    case IMN_MZ_LOWEST:
      return plane.mz_range().first;
    case IMN_MZ_HIGHEST:
      return plane.mz_range().second;
    case IMN_N_WARNINGS:
      return static_cast<double>(file.warnings().size());
    case IMN_CHANGED:
      return file.spectra().changed() ? 1.0 : 0.0;
    default:
      throw ArgumentError("there is no number " + std::to_string(what) + " of a dataset");
  }
}

std::string text_of(const io::File& file, std::int32_t what, std::int64_t i) {
  switch (what) {
    case IMN_TEXT_PATH:
      return file.path();
    case IMN_TEXT_IBD_PATH:
      return file.spectra().ibd_path();
    case IMN_TEXT_UUID: {
      const std::map<std::string, std::string> declared(file.declared().begin(), file.declared().end());
      const auto found = declared.find("uuid");
      return found == declared.end() ? std::string() : found->second;
    }
    case IMN_TEXT_WARNING: {
      const std::vector<std::string> warnings = file.warnings();
      if (i < 0 || i >= static_cast<std::int64_t>(warnings.size())) {
        throw ArgumentError("there is no warning " + std::to_string(i) + " among " + std::to_string(warnings.size()));
      }
      return warnings[static_cast<std::size_t>(i)];
    }
    default:
      throw ArgumentError("there is no text " + std::to_string(what) + " of a dataset");
  }
}

}  // namespace

void Dataset::tell_warnings(std::size_t told) const {
  const std::vector<std::string> warnings = plane->file().warnings();
  for (std::size_t i = told; i < warnings.size(); ++i) {
    context->tell(IMN_LOG_WARNING, plane->file().path() + ": " + warnings[i]);
  }
}

}  // namespace imn::capi

using namespace imn::capi;

extern "C" {

imn_status IMN_CALL imn_dataset_open(imn_context* context, const char* imzml, const imn_open_options* options,
                                     imn_dataset** out) {
  return open_with(context, options, true, out, [&](const imn::io::OpenOptions& given) {
    return imn::io::File::open(&required(imzml, "imzml"), given);
  });
}

imn_status IMN_CALL imn_dataset_open_source(imn_context* context, const imn_source* imzml, const imn_source* ibd,
                                            const imn_open_options* options, imn_dataset** out) {
  return open_with(context, options, false, out, [&](const imn::io::OpenOptions& given) {
    const imn::io::Bytes head(make_byte_source(required_struct(imzml, "imn_source of the imzML file")));
    imn::io::Bytes body(make_byte_source(required_struct(ibd, "imn_source of the ibd file")));
    return imn::io::File::open(head, std::move(body), given);
  });
}

imn_status IMN_CALL imn_dataset_from_reader(imn_context* context, const imn_reader* reader,
                                            const imn_open_options* options, imn_dataset** out) {
  return open_with(context, options, false, out, [&](const imn::io::OpenOptions& given) {
    return imn::io::File::open(make_spectrum_source(required_struct(reader, "imn_reader")), given);
  });
}

void IMN_CALL imn_dataset_free(imn_dataset* dataset) { drop_handle(KindOf<Dataset>::name, dataset); }

imn_status IMN_CALL imn_dataset_number(const imn_dataset* dataset, int32_t what, double* out) {
  return guarded([&] { required(out, "out") = number_of(*object_of<Dataset>(dataset)->plane, what); });
}

imn_status IMN_CALL imn_dataset_text(const imn_dataset* dataset, int32_t what, int64_t i, char* to, uint64_t n,
                                     uint64_t* length) {
  return guarded([&] { copy_text(text_of(object_of<Dataset>(dataset)->plane->file(), what, i), to, n, length); });
}

imn_status IMN_CALL imn_dataset_coordinates(const imn_dataset* dataset, int32_t* xyz, uint64_t room) {
  return guarded([&] {
    const auto object = object_of<Dataset>(dataset);
    const std::vector<std::int32_t>& values = object->plane->geometry().coordinates;
    require_room(xyz, room, values.size(), "xyz");
    std::copy(values.begin(), values.end(), xyz);
  });
}

imn_status IMN_CALL imn_dataset_mask(const imn_dataset* dataset, uint8_t* mask, uint64_t room) {
  return guarded([&] {
    const auto object = object_of<Dataset>(dataset);
    const auto pixels = object->plane->pixels();
    const auto n = static_cast<std::uint64_t>(object->plane->geometry().n_pixels());
    require_room(mask, room, n, "mask");
    std::fill_n(mask, n, std::uint8_t{0});
    for (const imn::io::Pixel& pixel : pixels) mask[pixel.index] = 1;
  });
}

imn_status IMN_CALL imn_dataset_spectrum(const imn_dataset* dataset, int64_t spectrum, double* mz, double* intensity,
                                         int64_t room, int64_t* n) {
  return guarded([&] {
    const auto object = object_of<Dataset>(dataset);
    required(n, "n") = object->plane->spectrum_length(spectrum);
    if (room == 0) return;
    if (room < 0) throw imn::ArgumentError("room must not be negative");
    imn::io::Spectrum found;
    object->plane->read(spectrum, found);  // a repaired one may be shorter than announced
    *n = static_cast<std::int64_t>(found.mz.size());
    require_room(mz, static_cast<std::uint64_t>(room), found.mz.size(), "mz");
    require_room(intensity, static_cast<std::uint64_t>(room), found.mz.size(), "intensity");
    std::copy(found.mz.begin(), found.mz.end(), mz);
    std::copy(found.intensity.begin(), found.intensity.end(), intensity);
  });
}

imn_status IMN_CALL imn_dataset_images(const imn_dataset* dataset, const double* lo, const double* hi, int64_t n,
                                       int32_t threads, imn_cancel* cancel, float* images, uint64_t room) {
  return guarded([&] {
    const auto object = object_of<Dataset>(dataset);
    const auto flag = cancel_of(cancel);
    (void)object->plane->pixels();  // throws for several z planes
    const std::int64_t pixels = object->plane->geometry().n_pixels();
    if (n < 0 || n > std::numeric_limits<std::int64_t>::max() / 4 / std::max<std::int64_t>(1, pixels)) {
      throw imn::ArgumentError("n must be from 0 to what memory holds, not " + std::to_string(n));
    }
    require_room(images, room, static_cast<std::uint64_t>(n * pixels), "images");
    if (n == 0) return;
    std::vector<imn::images::MzWindow> windows;
    for (std::int64_t i = 0; i < n; ++i) windows.push_back({(&required(lo, "lo"))[i], (&required(hi, "hi"))[i]});
    imn::images::BinOptions options;
    options.threads = checked_threads(threads, object->context->threads);
    options.unmeasured = std::numeric_limits<float>::quiet_NaN();
    options.cancel = flag_of(flag);
    imn::images::bin_images(*object->plane, windows, options, {images, static_cast<std::size_t>(n * pixels)});
  });
}

}  // extern "C"
