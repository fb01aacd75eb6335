#include "io/file.h"

#include <algorithm>

#include "core/error.h"
#include "io/describe.h"
#include "io/grid_checks.h"
#include "io/ibd_lookup.h"
#include "io/kind_warnings.h"

namespace imn::io {

namespace {

// Some spectra are declared profile and some centroid; the data of each group tell whether they are.
void settle_mixed_type(const std::vector<std::int64_t>& declared_profile,
                       const std::vector<std::int64_t>& declared_centroid, const Spectra& spectra,
                       TypeDecision& decision) {
  auto look = [&spectra](const std::vector<std::int64_t>& of) { return spectra.sampling(of).shape(); };
  auto text = [](SpectrumShape shape) -> std::string {
    return shape == SpectrumShape::profile ? "profiles" : shape == SpectrumShape::list ? "lists of peaks" : "unclear";
  };
  if (declared_profile.empty() || declared_centroid.empty()) return;
  const SpectrumShape first = look(declared_profile), second = look(declared_centroid);
  std::string found = "all of them are " + text(first);
  if (first != second) {
    const SpectrumShape frequent = declared_profile.size() >= declared_centroid.size() ? first : second;
    decision.type = frequent == SpectrumShape::profile ? SpectrumType::profile : SpectrumType::centroid;
    found = "the former are " + text(first) + " and the latter " + text(second) +
            ", so that images and scores may follow the type of the spectra";
  }
  decision.warning = std::to_string(declared_profile.size()) + " spectra are declared profile and " +
                     std::to_string(declared_centroid.size()) + " centroid; by their data, " + found +
                     "; all are read as " + (decision.type == SpectrumType::profile ? "profile" : "centroid") +
                     ", --spectrum-type (Python: spectrum_type=) sets it";
}

}  // namespace

std::shared_ptr<const File> File::open(const std::string& path, const OpenOptions& options) {
  Header header = parse_header(Bytes(path, Access::sequential, options.reading), Extent::all);
  if (header.n_spectra() == 0) throw FileError(path, "the file holds no spectra");
  Bytes ibd(options.ibd_path ? *options.ibd_path : find_ibd(path), Access::random, options.reading);
  return std::make_shared<const File>(path, options, std::move(ibd), std::move(header));
}

std::shared_ptr<const File> File::open(const Bytes& imzml, Bytes ibd, const OpenOptions& options) {
  Header header = parse_header(imzml, Extent::all);
  if (header.n_spectra() == 0) throw FileError(imzml.path(), "the file holds no spectra");
  return std::make_shared<const File>(imzml.path(), options, std::move(ibd), std::move(header));
}

std::shared_ptr<const File> File::open(std::shared_ptr<const SpectrumSource> source, const OpenOptions& options) {
  const std::vector<std::int32_t>& positions = source->positions();
  if (positions.empty()) throw FileError(source->name(), "there are no spectra");
  const bool profile = source->type() == SpectrumType::profile;
  Header header;
  header.text.mode = "processed";
  header.text.spectrum_type = profile ? "profile" : "centroid";
  header.text.pixels.size_um = source->pixel_size_um();
  for (std::size_t i = 0; i < positions.size(); i += 3) {
    header.x.push_back(positions[i]);
    header.y.push_back(positions[i + 1]);
    header.z.push_back(positions[i + 2]);
  }
  ScanKind kind;
  kind.profile = profile;
  kind.centroid = !profile;
  header.kinds.push_back(kind);
  header.kind.assign(header.x.size(), 0);
  header.runs = header.sources = header.settings = header.filters = {std::string()};
  return std::make_shared<const File>(std::move(source), options, header);
}

File::File(const std::string& path, const OpenOptions& options, Bytes ibd, Header header)
    : path_(path),
      duplicates_(options.duplicates),
      selection_(select_spectra(header, options, path)),
      spectra_(path, std::move(ibd), options, header, selection_),
      copies_wanted_(options.copies) {
  finish(header, options);
}

File::File(std::shared_ptr<const SpectrumSource> source, const OpenOptions& options, const Header& header)
    : path_(source->name()),
      duplicates_(options.duplicates),
      selection_(select_spectra(header, options, path_)),
      spectra_(std::move(source), options),
      copies_wanted_(Copies::keep) {
  Header copy = header;
  finish(copy, options);
}

void File::finish(Header& header, const OpenOptions& options) {
  warnings_ = spectra_.opening_warnings();
  if (header.declared_count != kAbsent && header.declared_count != header.n_spectra()) {
    warnings_.push_back("the file announces " + std::to_string(header.declared_count) + " spectra but holds " +
                        std::to_string(header.n_spectra()));
  }
  warnings_.insert(warnings_.end(), selection_.warnings.begin(), selection_.warnings.end());
  take_coordinates(header);
  if (selection_.polarity) header.text.polarity = name_of(*selection_.polarity);
  if (selection_.ms_level) header.text.ms_level = std::to_string(*selection_.ms_level);
  declared_ = describe(header);
  leave_out_copies();
  find_duplicates();
  if (!options.everything) {
    const Placed placed{grid_.coordinates, [this](std::int64_t s) { return spectra_.number_in_file(s); }};
    for (std::string& text : kind_warnings(header, selection_, options, placed)) warnings_.push_back(std::move(text));
  }
  choose_type(header, options.spectrum_type);
}

void File::take_coordinates(const Header& header) {
  const auto n = static_cast<std::size_t>(spectra_.size());
  raw_.resize(3 * n);
  for (std::size_t k = 0; k < n; ++k) {
    const auto i = static_cast<std::size_t>(spectra_.number_in_file(static_cast<std::int64_t>(k)));
    const std::int64_t x = header.x[i], y = header.y[i], z = header.z[i];
    if (x == kAbsent || y == kAbsent) {
      throw FileError(path_, "spectrum " + std::to_string(i) + ": it has no position in " + (x == kAbsent ? "x" : "y"));
    }
    if (x == kUnreadable || y == kUnreadable || z == kUnreadable) {
      throw FileError(path_, "spectrum " + std::to_string(i) + ": its position is not an integer");
    }
    raw_[3 * k] = x;
    raw_[3 * k + 1] = y;
    raw_[3 * k + 2] = z;
  }
  fill_z(raw_, warnings_);
  const DeclaredPixels& declared = header.text.pixels;
  auto count = [](const std::string& text) -> std::optional<std::int64_t> {
    const std::int64_t value = parse_integer(text);
    return value > 0 ? std::optional(value) : std::nullopt;
  };
  const PixelHints hints{count(declared.max_count_x), count(declared.max_count_y), declared.size_um,
                         declared.extent_um};
  grid_ = make_grid(raw_, hints, path_);
  warnings_.insert(warnings_.end(), declared.warnings.begin(), declared.warnings.end());
  warnings_.insert(warnings_.end(), grid_.warnings.begin(), grid_.warnings.end());
  pixel_size_ = declared.size_um;
  if (pixel_size_) {
    pixel_size_->first *= static_cast<double>(std::max<std::int64_t>(1, grid_.sizes_per_step[0]));
    pixel_size_->second *= static_cast<double>(std::max<std::int64_t>(1, grid_.sizes_per_step[1]));
  }
  check_grid(grid_, hints, n, path_, warnings_);
}

void File::find_duplicates() {
  const std::vector<std::int64_t> left_out = copies_wanted_ == Copies::drop ? *copies_ : std::vector<std::int64_t>{};
  first_at_pixel_ = first_at_position(grid_.coordinates, left_out);
  std::int64_t duplicates = 0, first = 0;
  for (std::size_t i = 0; i < first_at_pixel_.size(); ++i) {
    if (first_at_pixel_[i] == static_cast<std::int64_t>(i) || first_at_pixel_[i] < 0) continue;
    if (duplicates++ == 0) first = spectra_.number_in_file(static_cast<std::int64_t>(i));
  }
  if (duplicates == 0) return;
  const std::string text = std::to_string(duplicates) +
                           " spectra lie on a pixel that already has one (first: spectrum " + std::to_string(first) +
                           ")";
  if (duplicates_ == Duplicates::error) {
    throw FileError(path_, text + "; choose what such pixels show with --duplicates (Python: duplicates=)");
  }
  const std::string effect = duplicates_ == Duplicates::sum    ? "their sum is shown"
                             : duplicates_ == Duplicates::mean ? "their mean is shown"
                                                               : "the first spectrum of each pixel is shown";
  warnings_.push_back(text + "; " + effect + " (--duplicates, Python: duplicates=)");
}

void File::choose_type(const Header& header, const std::optional<SpectrumType>& wanted) {
  const std::string& text = header.text.spectrum_type;
  // Hidden spectra may be of another type than those that pixels show.
  std::vector<std::int64_t> shown;
  for (std::int64_t s = 0; s < spectra_.size(); ++s) {
    const std::int64_t first = first_at_pixel_.empty() ? s : first_at_pixel_[static_cast<std::size_t>(s)];
    const bool hidden = duplicates_ == Duplicates::first ? first != s : first < 0;
    if (!hidden) shown.push_back(s);
  }
  std::vector<std::int64_t> profiles, centroids;
  for (const std::int64_t s : shown) {
    const ScanKind& kind = header.kinds[header.kind[static_cast<std::size_t>(spectra_.number_in_file(s))]];
    if (kind.profile) profiles.push_back(s);
    if (kind.centroid) centroids.push_back(s);
  }
  DeclaredType declared = DeclaredType::none;
  if (!profiles.empty() || !centroids.empty()) {
    declared = centroids.empty()  ? DeclaredType::profile
               : profiles.empty() ? DeclaredType::centroid
                                  : DeclaredType::both;
  } else if (!text.empty()) {
    declared = text == "profile" ? DeclaredType::profile : DeclaredType::centroid;
  }
  decision_ = decide_type(declared, wanted, spectra_.mode(), spectra_.sampling(shown));
  if (declared == DeclaredType::both && !wanted) settle_mixed_type(profiles, centroids, spectra_, decision_);
  if (!decision_.warning.empty()) warnings_.push_back(decision_.warning);
  if (decision_.sampling.whole_numbers && decision_.type == SpectrumType::centroid) {
    warnings_.push_back(
        "all m/z are whole numbers (nominal masses, or bins of one mass unit), so that ions of one nominal mass share "
        "a "
        "channel; export the m/z without rounding");
  }
}

std::vector<std::string> File::warnings() const {
  std::vector<std::string> all = warnings_;
  const std::vector<std::string> later = spectra_.reading_warnings();
  all.insert(all.end(), later.begin(), later.end());
  const std::vector<std::string> repeats = copies_found();
  all.insert(all.end(), repeats.begin(), repeats.end());
  return all;
}

}  // namespace imn::io
