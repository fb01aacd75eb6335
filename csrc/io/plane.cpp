#include "io/plane.h"

#include <algorithm>
#include <limits>
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
  auto& planes = geometry_.z_planes;
  for (std::int64_t i = 0; i < spectra().size(); ++i) {
    const std::int32_t own = grid.coordinates[static_cast<std::size_t>(3 * i + 2)];
    if (z && own != *z) continue;
    members_.push_back(i);
    planes.push_back(own);
  }
  std::sort(planes.begin(), planes.end());
  planes.erase(std::unique(planes.begin(), planes.end()), planes.end());
  planes.shrink_to_fit();
  for (const std::int64_t i : members_) {
    for (std::int64_t axis = 0; axis < 3; ++axis) {
      const auto at = static_cast<std::size_t>(3 * i + axis);
      geometry_.coordinates.push_back(grid.coordinates[at]);
      geometry_.raw_coordinates.push_back(file_->raw_coordinates()[at]);
    }
  }
  if (planes.size() == 1) {
    table_ = make_pixels(geometry_.width, geometry_.height, geometry_.coordinates, file_->duplicates());
  }
}

std::shared_ptr<const Plane> Plane::at_z(std::int32_t z) const {
  const auto& planes = geometry_.z_planes;
  if (!std::binary_search(planes.begin(), planes.end(), z)) {
    throw ArgumentError("no plane z = " + std::to_string(z) + "; choose one of " + z_text());
  }
  return std::make_shared<const Plane>(file_, z);
}

Plane::Plane(const Plane& other, std::vector<double> scale)
    : file_(other.file_),
      members_(other.members_),
      geometry_(other.geometry_),
      table_(other.table_),
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

std::pair<double, double> Plane::mz_range() const {
  std::call_once(range_once_, [this] {
    double lowest = std::numeric_limits<double>::infinity(), highest = 0.0;
    const auto axis = spectra().shared_mz();
    if (!axis.empty()) {
      lowest = axis.front();
      highest = axis.back();
    } else {
      for (const std::int64_t s : members_) {
        double lo = 0.0, hi = 0.0;
        if (!spectra().ends(s, lo, hi)) continue;
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

const PixelTable& Plane::one_z() const {
  if (geometry_.z_planes.size() != 1) {
    throw ArgumentError("the file holds several z planes (" + z_text() + "); choose one with plane(z)");
  }
  return table_;
}

std::string Plane::z_text() const {
  constexpr std::size_t kShown = 10;
  const auto& planes = geometry_.z_planes;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, planes.size()); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(planes[i]);
  }
  return planes.size() > kShown ? text + " ... (" + std::to_string(planes.size()) + " in all)" : text;
}

}  // namespace imn::io
