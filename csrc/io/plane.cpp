#include "io/plane.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace imn::io {

std::shared_ptr<const Plane> Plane::open(const std::string& path, const OpenOptions& options) {
  return std::make_shared<const Plane>(File::open(path, options));
}

Plane::Plane(std::shared_ptr<const File> file, std::optional<std::int32_t> z) : file_(std::move(file)) {
  const Grid& grid = file_->grid();
  geometry_.width = grid.width;
  geometry_.height = grid.height;
  geometry_.origin = grid.origin;
  geometry_.step = grid.step;
  for (std::int64_t i = 0; i < spectra().size(); ++i) {
    if (!z || grid.coordinates[static_cast<std::size_t>(3 * i + 2)] == *z) members_.push_back(i);
  }
  take_members();
}

Plane::Plane(const Plane& whole, const Region& region) : file_(whole.file_), geometry_{} {
  const Geometry& g = whole.geometry_;
  geometry_.width = region.width;
  geometry_.height = region.height;
  geometry_.step = g.step;
  geometry_.origin = {g.origin[0] + region.x0 * g.step[0], g.origin[1] + region.y0 * g.step[1], g.origin[2]};
  geometry_.x0 = g.x0 + region.x0;
  geometry_.y0 = g.y0 + region.y0;
  const Regions& found = whole.regions();
  for (std::size_t i = 0; i < whole.members_.size(); ++i) {
    if (found.of_spectrum[i] == region.number) members_.push_back(whole.members_[i]);
  }
  for (std::int32_t y = 0; y < region.height && !whole.scale_.empty(); ++y) {
    const auto row = whole.scale_.begin() + (std::int64_t{region.y0} + y) * g.width + region.x0;
    scale_.insert(scale_.end(), row, row + region.width);
  }
  take_members();
}

// Fills coordinates and pixels from members_.
void Plane::take_members() {
  const std::vector<std::int32_t>& all = file_->grid().coordinates;
  auto& planes = geometry_.z_planes;
  const std::array<std::int32_t, 3> shift{geometry_.x0, geometry_.y0, 0};
  geometry_.coordinates.reserve(3 * members_.size());
  geometry_.raw_coordinates.reserve(3 * members_.size());
  for (const std::int64_t i : members_) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const std::size_t at = static_cast<std::size_t>(3 * i) + axis;
      geometry_.coordinates.push_back(all[at] - shift[axis]);
      geometry_.raw_coordinates.push_back(file_->raw_coordinates()[at]);
    }
    const std::int32_t z = geometry_.coordinates.back();
    if (planes.empty() || planes.back() != z) planes.push_back(z);
  }
  std::sort(planes.begin(), planes.end());
  planes.erase(std::unique(planes.begin(), planes.end()), planes.end());
  planes.shrink_to_fit();
  show();
}

void Plane::show() {
  const std::int32_t* c = geometry_.coordinates.data();
  const auto of_file = file_->first_at_pixel();
  // The first spectrum at the pixel of spectrum i, or -1, as an index in the file.
  const auto first = [&](std::int64_t i) {
    const std::int64_t s = members_[static_cast<std::size_t>(i)];
    return of_file.empty() ? s : of_file[static_cast<std::size_t>(s)];
  };
  std::vector<std::int64_t> position(of_file.size());  // in pixels_, by the first spectrum's index in the file
  pixels_.reserve(members_.size());
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < n_spectra(); ++i) {
    kept += first(i) >= 0 ? 1 : 0;
    if (first(i) != members_[static_cast<std::size_t>(i)]) continue;
    if (!of_file.empty()) position[static_cast<std::size_t>(first(i))] = static_cast<std::int64_t>(pixels_.size());
    pixels_.push_back({std::int64_t{c[3 * i + 1] - 1} * geometry_.width + (c[3 * i] - 1), i});
  }
  auto& shown = shown_.spectra_;
  shown.reserve(static_cast<std::size_t>(kept));
  if (kept == static_cast<std::int64_t>(pixels_.size()) || file_->duplicates() == Duplicates::first) {
    for (const Pixel& pixel : pixels_) shown.push_back(pixel.spectrum);
    return;
  }
  // All spectra of a pixel, in file order.
  const auto pixel_of = [&](std::int64_t i) {
    return static_cast<std::size_t>(position[static_cast<std::size_t>(first(i))]);
  };
  auto& begin = shown_.first_;
  begin.assign(pixels_.size() + 1, 0);
  for (std::int64_t i = 0; i < n_spectra(); ++i) {
    if (first(i) >= 0) ++begin[pixel_of(i) + 1];
  }
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<std::int64_t> next(begin.begin(), begin.end() - 1);
  shown.resize(static_cast<std::size_t>(kept));
  for (std::int64_t i = 0; i < n_spectra(); ++i) {
    if (first(i) >= 0) shown[static_cast<std::size_t>(next[pixel_of(i)]++)] = i;
  }
  shown_.mean_ = file_->duplicates() == Duplicates::mean;
  if (!shown_.mean_ || geometry_.z_planes.size() != 1 || !fits_an_image()) return;
  mean_factors_.assign(static_cast<std::size_t>(geometry_.n_pixels()), 1.0);
  for (std::size_t p = 0; p < pixels_.size(); ++p) {
    mean_factors_[static_cast<std::size_t>(pixels_[p].index)] = shown_.weight(static_cast<std::int64_t>(p));
  }
}

const Regions& Plane::regions() const {
  require_one_z();
  std::call_once(regions_once_, [this] { regions_ = find_regions(geometry_.coordinates); });
  return regions_;
}

std::shared_ptr<const Plane> Plane::at_region(std::int32_t number) const {
  for (const Region& region : regions().regions) {
    if (region.number != number) continue;
    auto plane = std::make_shared<const Plane>(*this, region);
    plane->require_shown("region " + std::to_string(number));
    return plane;
  }
  throw ArgumentError("no region " + std::to_string(number) + "; there are " +
                      std::to_string(regions().regions.size()) + ", numbered from 1");
}

std::shared_ptr<const Plane> Plane::at_z(std::int32_t z) const {
  const auto& planes = geometry_.z_planes;
  if (!std::binary_search(planes.begin(), planes.end(), z)) {
    throw ArgumentError("no plane z = " + std::to_string(z) + "; choose one of " + z_text());
  }
  auto plane = std::make_shared<const Plane>(file_, z);
  plane->require_shown("plane z = " + std::to_string(z));
  return plane;
}

void Plane::require_shown(const std::string& what) const {
  if (shown_.n_spectra() > 0) return;
  throw FileError(file_->path(), "every spectrum of " + what +
                                     " is a copy of an earlier one and was left out; keep copies with --copies keep "
                                     "(Python: copies='keep')");
}

Plane::Plane(const Plane& other, std::vector<double> scale)
    : file_(other.file_),
      members_(other.members_),
      geometry_(other.geometry_),
      pixels_(other.pixels_),
      shown_(other.shown_),
      mean_factors_(other.mean_factors_),
      scale_(std::move(scale)) {}

std::shared_ptr<const Plane> Plane::scaled(std::span<const double> factors) const {
  const auto own = image_factors();
  if (static_cast<std::int64_t>(factors.size()) != geometry_.n_pixels()) {
    throw ArgumentError("one factor per pixel is needed, " + std::to_string(geometry_.n_pixels()) + ", not " +
                        std::to_string(factors.size()));
  }
  std::vector<double> scale(factors.begin(), factors.end());
  for (std::size_t p = 0; p < own.size(); ++p) scale[p] *= own[p];
  return std::shared_ptr<const Plane>(new Plane(*this, std::move(scale)));
}

std::vector<std::int64_t> Plane::overlapping_spectra() const {
  std::vector<std::int64_t> numbers;
  for (const std::int64_t s : spectra().overlapping()) {
    if (std::binary_search(members_.begin(), members_.end(), s)) numbers.push_back(spectra().number_in_file(s));
  }
  return numbers;
}

std::vector<std::int64_t> Plane::copies(int threads, const std::atomic<bool>* cancel) const {
  const std::vector<std::int64_t> of_file = file_->copies(threads, cancel);
  std::vector<std::int64_t> found(members_.size(), -1);
  if (of_file.empty()) return found;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const std::int64_t original = of_file[static_cast<std::size_t>(members_[i])];
    if (original >= 0) found[i] = spectra().number_in_file(original);
  }
  return found;
}

std::pair<double, double> Plane::mz_range() const {
  std::call_once(range_once_, [this] {
    double lowest = std::numeric_limits<double>::infinity(), highest = 0.0;
    const auto axis = spectra().shared_mz();
    if (!axis.empty()) {
      lowest = axis.front();
      highest = axis.back();
    } else {
      for (const std::int64_t i : shown_.spectra()) {
        double lo = 0.0, hi = 0.0;
        if (!spectra().ends(member(i), lo, hi)) continue;
        lowest = std::min(lowest, lo);
        highest = std::max(highest, hi);
      }
    }
    range_ = lowest <= highest ? std::pair{lowest, highest} : std::pair{0.0, 0.0};
  });
  return range_;
}

void Plane::refuse_index(std::int64_t i) const {
  throw ArgumentError("no spectrum " + std::to_string(i) + "; the dataset has " + std::to_string(n_spectra()) +
                      " spectra, counted from 0");
}

void Plane::require_one_z(const std::string& remedy) const {
  const std::size_t n = geometry_.z_planes.size();
  if (n == 1) return;
  throw ArgumentError(file_->path() + ": holds " + std::to_string(n) + " z planes (" + z_text() + "); " + remedy);
}

bool Plane::fits_an_image() const { return geometry_.n_pixels() <= largest_grid(spectra().size()); }

std::span<const Pixel> Plane::pixels() const {
  require_one_z();
  if (!fits_an_image()) {
    throw ArgumentError(file_->path() + ": its " + std::to_string(regions().regions.size()) +
                        " regions lie too far apart for one image (" + std::to_string(geometry_.width) + " x " +
                        std::to_string(geometry_.height) +
                        " pixels); take each on its own: --regions each (Python: ds.region(k))");
  }
  return pixels_;
}

std::span<const double> Plane::total_factors() const {
  (void)pixels();  // throws for several z values, and for a grid that no image holds
  return mean_factors_;
}

std::string Plane::z_text() const {
  constexpr std::size_t kShown = 8;
  const auto& planes = geometry_.z_planes;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, planes.size()); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(planes[i]);
  }
  return planes.size() > kShown ? text + ", ..." : text;
}

}  // namespace imn::io
