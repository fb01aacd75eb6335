// Plane: the spectra of one z value or region of an opened imzML file, or all of them before one is chosen; ready for
// random and threaded access.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/file.h"
#include "io/regions.h"
#include "io/types.h"

namespace imn::io {

// Where the spectra of a plane lie.
struct Geometry {
  std::int32_t width = 0;
  std::int32_t height = 0;
  std::vector<std::int32_t> coordinates;      // (n, 3): x, y, z, 1-based after rebasing
  std::vector<std::int64_t> raw_coordinates;  // (n, 3): x, y, z as written (0 where absent)
  std::vector<std::int32_t> z_planes;         // ascending, values as in coordinates
  // coordinate = (raw - origin) / step + 1, per axis x, y, z; step is 1 except for stage coordinates.
  std::array<std::int64_t, 3> origin{};
  std::array<std::int64_t, 3> step{1, 1, 1};
  std::int32_t x0 = 0, y0 = 0;  // where the box of a region lies in the grid of the file, counted from 0

  std::int64_t n_pixels() const { return std::int64_t{width} * height; }
};

// Which spectra the pixels show. The other ones are hidden (Duplicates::first: all but the first of a pixel;
// Copies::drop: those that repeat an earlier one) and
// contribute to nothing: neither to images nor to channels, their frequency, peak widths, mean spectrum or m/z range.
// Everything that summarises a plane walks over these; where no pixel has two spectra, they are all spectra in order.
class Shown {
 public:
  std::int64_t n_pixels() const { return first_.empty() ? n_spectra() : static_cast<std::int64_t>(first_.size()) - 1; }
  std::int64_t n_spectra() const { return static_cast<std::int64_t>(spectra_.size()); }
  // Indices in the plane, pixel after pixel in the order of Plane::pixels(), at least one per pixel.
  std::span<const std::int64_t> spectra() const { return spectra_; }
  std::span<const std::int64_t> of_pixel(std::int64_t p) const {
    if (first_.empty()) return spectra().subspan(static_cast<std::size_t>(p), 1);
    const auto begin = static_cast<std::size_t>(first_[static_cast<std::size_t>(p)]);
    return spectra().subspan(begin, static_cast<std::size_t>(first_[static_cast<std::size_t>(p) + 1]) - begin);
  }
  // What each spectrum of pixel p counts for in it: 1, or 1 / their number for Duplicates::mean.
  double weight(std::int64_t p) const { return mean_ ? 1.0 / static_cast<double>(of_pixel(p).size()) : 1.0; }
  // Whether a pixel shows more than one.
  bool several() const { return !first_.empty(); }

 private:
  friend class Plane;
  std::vector<std::int64_t> spectra_;
  bool mean_ = false;
  std::vector<std::int64_t> first_;  // n_pixels + 1 positions in spectra_; empty if each pixel shows one spectrum
};

// Shares the File with all other planes of it. What holds for the whole file is asked of file() and spectra(); here a
// spectrum's index counts within the plane, from 0. Reading is safe from several threads at once, each with its own
// buffers; FileError names file, spectrum and cause, ArgumentError an index outside the plane.
class Plane {
 public:
  // All spectra of the file. Throws FileError. `path` is UTF-8.
  static std::shared_ptr<const Plane> open(const std::string& path, const OpenOptions& options = {});
  explicit Plane(std::shared_ptr<const File> file, std::optional<std::int32_t> z = std::nullopt);

  // The spectra of one z value. Throws ArgumentError if this plane has none there.
  std::shared_ptr<const Plane> at_z(std::int32_t z) const;
  // The same spectra, with ion images multiplied by `factors` (height * width; unmeasured pixels: unused). Throws
  // ArgumentError if there are several z values, or the size is wrong.
  std::shared_ptr<const Plane> scaled(std::span<const double> factors) const;
  // The spectra of one region, on a grid of the size of its box. Throws ArgumentError if there is no such region, or as
  // regions().
  std::shared_ptr<const Plane> at_region(std::int32_t number) const;
  Plane(const Plane& whole, const Region& region);

  const File& file() const { return *file_; }
  const Spectra& spectra() const { return file_->spectra(); }
  const Geometry& geometry() const { return geometry_; }
  std::int64_t n_spectra() const { return static_cast<std::int64_t>(members_.size()); }

  // Measured pixels in the order of their spectra; where several spectra share a pixel, the first one. Throws
  // ArgumentError if there are several z values: choose one with at_z(); or if regions lie so far apart that no image
  // holds them: choose one with at_region().
  std::span<const Pixel> pixels() const;
  // Throws ArgumentError that ends with the remedy if there are several z values.
  void require_one_z(const std::string& remedy = "choose one with plane(z)") const;
  // Of all z values.
  const Shown& shown() const { return shown_; }

  // (height * width): what a pixel's sum is multiplied by, before it is rounded, in an ion image, and in the image of
  // all intensities, which scaled() does not change. Empty: 1 everywhere.
  std::span<const double> image_factors() const { return scale_.empty() ? total_factors() : std::span(scale_); }
  std::span<const double> total_factors() const;
  // Sections that lie side by side; found on first use. Throws ArgumentError if there are several z values.
  const Regions& regions() const;

  std::int64_t spectrum_length(std::int64_t i) const { return spectra().length(member(i)); }
  std::int64_t number_in_file(std::int64_t i) const { return spectra().number_in_file(member(i)); }
  // Numbers in the file of those spectra that Spectra::overlapping() lists.
  std::vector<std::int64_t> overlapping_spectra() const;
  // By spectrum of the plane: the number in the file of the earlier spectrum that it repeats value for value, or -1.
  // From then on, the file's warnings tell how many there are.
  std::vector<std::int64_t> copies(int threads, const std::atomic<bool>* cancel) const;
  // Smallest and largest m/z of the spectra shown; (0, 0) if all are empty. Reads the ends of every m/z array on first
  // use.
  std::pair<double, double> mz_range() const;

  // As in Spectra.
  void read(std::int64_t i, Spectrum& out) const { spectra().read(member(i), out); }
  void read(std::int64_t i, double lo, double hi, Spectrum& out) const { spectra().read(member(i), lo, hi, out); }
  void read_bins(std::int64_t i, std::int64_t first, std::int64_t last, double* out) const {
    spectra().read_bins(member(i), first, last, out);
  }

 private:
  friend class StreamReader;

  Plane(const Plane& other, std::vector<double> scale);

  std::int64_t member(std::int64_t i) const {
    if (i < 0 || i >= n_spectra()) refuse_index(i);
    return members_[static_cast<std::size_t>(i)];
  }
  [[noreturn]] void refuse_index(std::int64_t i) const;
  void take_members();
  void show();
  void require_shown(const std::string& what) const;
  bool fits_an_image() const;
  std::string z_text() const;

  std::shared_ptr<const File> file_;
  std::vector<std::int64_t> members_;  // indices into the file's spectra
  Geometry geometry_;
  std::vector<Pixel> pixels_;
  Shown shown_;
  std::vector<double> mean_factors_;  // of Duplicates::mean
  std::vector<double> scale_;         // of scaled(), times the other factors
  mutable std::once_flag regions_once_;
  mutable Regions regions_;
  mutable std::once_flag range_once_;
  mutable std::pair<double, double> range_;
};

// Reads a plane for a device: parts of arrays straight from the file to memory that the device reads next, with the
// values, errors and warnings of Plane. Possible where nothing is compressed or to be repaired (Spectra::streams()). A
// view: the plane must outlive it.
class StreamReader {
 public:
  explicit StreamReader(const Plane& plane) : plane_(&plane) {}

  // Processed files: the peaks with lo <= m/z <= hi. `before` is the result of the previous call for this spectrum,
  // where the search starts, or empty. Checks that m/z values ascend as far as it has looked; check_further_peaks()
  // checks the rest, and must be called before the peaks of any range are trusted.
  PeakRange find_peaks(std::int64_t i, double lo, double hi, PeakRange before) const {
    return plane_->spectra().find_peaks(plane_->member(i), lo, hi, before);
  }
  void check_further_peaks(std::int64_t i, PeakRange before) const {
    plane_->spectra().check_further_peaks(plane_->member(i), before);
  }
  // Values [first, last) of spectrum i: intensities of either mode, or m/z values of a processed file that find_peaks()
  // has seen. T: double, or float where float_intensities() or float_mz() holds. Another thread may read them only
  // after finish_streams() (core/stream_copy.h).
  template <typename T>
  void copy(std::int64_t i, Values values, std::int64_t first, std::int64_t last, T* out) const {
    plane_->spectra().stream(plane_->member(i), values, first, last, out);
  }
  // A hint that these values are needed soon. Any range is accepted.
  void prefetch(std::int64_t i, Values values, std::int64_t first, std::int64_t last) const {
    plane_->spectra().prefetch(plane_->member(i), values, first, last);
  }

 private:
  const Plane* plane_;
};

}  // namespace imn::io
