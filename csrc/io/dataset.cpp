#include "io/dataset.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "core/error.h"
#include "io/section.h"

namespace imn::io {

namespace {

// The whole file, or one plane of it, over a shared Section.
class SectionView final : public Dataset {
 public:
  explicit SectionView(std::shared_ptr<const Section> section) : SectionView(std::move(section), std::nullopt) {}

  SectionView(std::shared_ptr<const Section> section, std::optional<std::int32_t> z) : section_(std::move(section)) {
    const auto& coordinates = section_->grid().coordinates;
    for (std::int64_t i = 0; i < section_->n_spectra(); ++i) {
      const std::int32_t own = coordinates[static_cast<std::size_t>(3 * i + 2)];
      if (z && own != *z) continue;
      members_.push_back(i);
      planes_.push_back(own);
    }
    std::sort(planes_.begin(), planes_.end());
    planes_.erase(std::unique(planes_.begin(), planes_.end()), planes_.end());
    planes_.shrink_to_fit();
    for (const std::int64_t i : members_) {
      for (std::int64_t axis = 0; axis < 3; ++axis) {
        coordinates_.push_back(coordinates[static_cast<std::size_t>(3 * i + axis)]);
        raw_.push_back(section_->raw()[static_cast<std::size_t>(3 * i + axis)]);
      }
    }
    if (planes_.size() == 1) {
      table_ =
          make_pixels(section_->grid().width, section_->grid().height, coordinates_, section_->options().duplicates);
    }
  }

  std::shared_ptr<const Dataset> plane(std::int32_t z) const override {
    if (!std::binary_search(planes_.begin(), planes_.end(), z)) {
      throw ArgumentError("there is no plane z = " + std::to_string(z) + "; the planes are " + planes_text());
    }
    return std::make_shared<SectionView>(section_, z);
  }

  const std::string& path() const override { return section_->path(); }
  const std::string& ibd_path() const override { return section_->ibd_path(); }
  void require_size() const override { section_->require_size(); }
  bool changed() const override { return section_->changed(); }
  std::int64_t n_spectra() const override { return static_cast<std::int64_t>(members_.size()); }
  std::int32_t width() const override { return section_->grid().width; }
  std::int32_t height() const override { return section_->grid().height; }
  Mode mode() const override { return section_->mode(); }
  SpectrumType spectrum_type() const override { return section_->type(); }
  std::span<const std::int32_t> coordinates() const override { return coordinates_; }
  std::span<const std::int64_t> raw_coordinates() const override { return raw_; }
  std::vector<std::int32_t> z_planes() const override { return planes_; }
  std::optional<std::pair<double, double>> pixel_size_um() const override { return section_->pixel_size_um(); }
  std::array<std::int64_t, 3> coordinate_origin() const override { return section_->grid().origin; }
  std::array<std::int64_t, 3> coordinate_step() const override { return section_->grid().step; }
  const Declared& declared() const override { return section_->declared(); }
  std::vector<std::string> warnings() const override { return section_->warnings(); }

  std::span<const Pixel> pixels() const override { return one_plane().pixels; }
  std::span<const Pixel> extra_spectra() const override { return one_plane().extra; }

  bool compressed() const override { return section_->compressed(); }
  bool float_intensities() const override { return section_->float_intensities(); }
  bool float_mz() const override { return section_->float_mz(); }
  std::int64_t spectrum_length(std::int64_t i) const override { return section_->length(member(i)); }
  std::int64_t number_in_file(std::int64_t i) const override { return section_->in_file(member(i)); }
  std::vector<std::int64_t> overlapping_spectra() const override {
    std::vector<std::int64_t> numbers;
    for (const std::int64_t s : section_->overlapping()) {
      if (std::binary_search(members_.begin(), members_.end(), s)) numbers.push_back(section_->in_file(s));
    }
    return numbers;
  }
  std::span<const double> shared_mz() const override { return section_->axis(); }

  std::pair<double, double> mz_range() const override {
    std::call_once(range_once_, [this] {
      double lowest = std::numeric_limits<double>::infinity(), highest = 0.0;
      const auto axis = shared_mz();
      if (!axis.empty()) {
        lowest = axis.front();
        highest = axis.back();
      } else {
        for (const std::int64_t s : members_) {
          double lo = 0.0, hi = 0.0;
          if (!section_->ends(s, lo, hi)) continue;
          lowest = std::min(lowest, lo);
          highest = std::max(highest, hi);
        }
      }
      range_ = lowest <= highest ? std::pair{lowest, highest} : std::pair{0.0, 0.0};
    });
    return range_;
  }

  void read_spectrum(std::int64_t i, Spectrum& out) const override { section_->read(member(i), out); }
  void read_spectrum(std::int64_t i, double mz_lo, double mz_hi, Spectrum& out) const override {
    section_->read(member(i), mz_lo, mz_hi, out);
  }
  void read_bins(std::int64_t i, std::int64_t first, std::int64_t last, double* out) const override {
    section_->read_bins(member(i), first, last, out);
  }

  bool streams() const override { return section_->streams(); }
  PeakRange find_peaks(std::int64_t i, double mz_lo, double mz_hi, PeakRange before) const override {
    return section_->find_peaks(member(i), mz_lo, mz_hi, before);
  }
  void check_further_peaks(std::int64_t i, PeakRange before) const override {
    section_->check_further_peaks(member(i), before);
  }
  void stream(std::int64_t i, Values values, std::int64_t first, std::int64_t last, float* out) const override {
    section_->stream(member(i), values, first, last, out);
  }
  void stream(std::int64_t i, Values values, std::int64_t first, std::int64_t last, double* out) const override {
    section_->stream(member(i), values, first, last, out);
  }
  void prefetch(std::int64_t i, Values values, std::int64_t first, std::int64_t last) const override {
    section_->prefetch(member(i), values, first, last);
  }

 private:
  std::int64_t member(std::int64_t i) const {
    if (i < 0 || i >= n_spectra()) {
      throw ArgumentError("there is no spectrum " + std::to_string(i) + "; the dataset has " +
                          std::to_string(n_spectra()));
    }
    return members_[static_cast<std::size_t>(i)];
  }

  const PixelTable& one_plane() const {
    if (planes_.size() != 1) {
      throw ArgumentError("the file holds several z planes (" + planes_text() + "): take one with plane(z)");
    }
    return table_;
  }

  std::string planes_text() const {
    constexpr std::size_t kShown = 10;
    std::string text;
    for (std::size_t i = 0; i < std::min(kShown, planes_.size()); ++i) {
      text += (i > 0 ? ", " : "") + std::to_string(planes_[i]);
    }
    return planes_.size() > kShown ? text + " ... (" + std::to_string(planes_.size()) + " in all)" : text;
  }

  std::shared_ptr<const Section> section_;
  std::vector<std::int64_t> members_;  // indices into the section
  std::vector<std::int32_t> planes_;
  std::vector<std::int32_t> coordinates_;
  std::vector<std::int64_t> raw_;
  PixelTable table_;  // filled where there is one plane
  mutable std::once_flag range_once_;
  mutable std::pair<double, double> range_;
};

}  // namespace

std::shared_ptr<const Dataset> Dataset::open(const std::string& path, const OpenOptions& options) {
  return std::make_shared<SectionView>(Section::open(path, options));
}

}  // namespace imn::io
