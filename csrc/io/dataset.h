// Dataset: one opened imzML file (or one z plane of it), ready for random and threaded access.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace imn::io {

enum class Mode { continuous, processed };
enum class SpectrumType { profile, centroid };
enum class Duplicates { first, sum, error };

struct OpenOptions {
  std::string ibd_path;  // empty: the file beside the imzML, found without regard to case
  bool strict = true;    // false: keep the readable spectra of a truncated ibd, warn with the number lost
  Duplicates duplicates = Duplicates::first;
  std::optional<SpectrumType> spectrum_type;  // overrides what the file declares or what is inferred
  bool repair = false;                        // sort m/z and drop NaN/negative m/z instead of refusing them
};

// Reusable buffers of one spectrum. m/z ascending; NaN intensities have become 0.
struct Spectrum {
  std::vector<double> mz;
  std::vector<double> intensity;
};

// Values [first, last) of a spectrum.
struct PeakRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t size() const { return last - first; }
};

// The two arrays of a spectrum.
enum class Values { mz, intensity };

// A measured pixel: linear index y*width + x, and the spectrum shown there.
struct Pixel {
  std::int64_t index;
  std::int64_t spectrum;
};

// What the head of the file declares, as key/value text in file order (mode, spectrum type, pixel size, instrument
// ...).
using Declared = std::vector<std::pair<std::string, std::string>>;

class Dataset {
 public:
  // Throws FileError. `path` is UTF-8.
  static std::shared_ptr<const Dataset> open(const std::string& path, const OpenOptions& options = {});
  virtual ~Dataset() = default;

  // The spectra of one z plane (value as in coordinates()) as a Dataset of its own; shares the mapping.
  virtual std::shared_ptr<const Dataset> plane(std::int32_t z) const = 0;

  virtual const std::string& path() const = 0;
  virtual const std::string& ibd_path() const = 0;
  // Throws FileError if the ibd file is shorter than it was when it was opened: some of what was read may be zeros.
  // Reading itself meets what is further away than a page from the new end; this is for the end of a longer work.
  virtual void require_size() const = 0;
  // Whether the ibd file was written to since it was opened: what was read may be of both states.
  virtual bool changed() const = 0;
  virtual std::int64_t n_spectra() const = 0;
  virtual std::int32_t width() const = 0;
  virtual std::int32_t height() const = 0;
  virtual Mode mode() const = 0;                                      // as found from the m/z offsets
  virtual SpectrumType spectrum_type() const = 0;                     // declared, overridden or inferred
  virtual std::span<const std::int32_t> coordinates() const = 0;      // (n, 3): x, y, z, 1-based after rebasing
  virtual std::span<const std::int64_t> raw_coordinates() const = 0;  // (n, 3): x, y, z as written (0 where absent)
  virtual std::vector<std::int32_t> z_planes() const = 0;
  virtual std::optional<std::pair<double, double>> pixel_size_um() const = 0;
  // coordinate = (raw - origin) / step + 1, per axis x, y, z; step is 1 except for stage coordinates.
  virtual std::array<std::int64_t, 3> coordinate_origin() const = 0;
  virtual std::array<std::int64_t, 3> coordinate_step() const = 0;
  virtual const Declared& declared() const = 0;
  virtual std::vector<std::string> warnings() const = 0;  // grows while spectra are read; one line per kind of problem

  // Measured pixels in the order of their spectra; several spectra at one pixel: the first one (Duplicates::first).
  // Throws ArgumentError when the file holds several z planes: take plane(z) first.
  virtual std::span<const Pixel> pixels() const = 0;
  // Duplicates::sum only: the further spectra of pixels already in pixels().
  virtual std::span<const Pixel> extra_spectra() const = 0;

  // Whether intensities must be inflated: then reading a late part of a spectrum costs as much as reading all of it.
  virtual bool compressed() const = 0;
  // Whether every stored intensity, every stored m/z value, is exactly a float32, because of its type: copies for a
  // device then need half the bytes.
  virtual bool float_intensities() const = 0;
  virtual bool float_mz() const = 0;
  // Number of m/z values of spectrum i, without reading it.
  virtual std::int64_t spectrum_length(std::int64_t i) const = 0;
  // Number of spectrum i in the file, counted from 0 as messages do: planes and spectra that were left out (strict =
  // false) shift it.
  virtual std::int64_t number_in_file(std::int64_t i) const = 0;
  // Numbers in the file of spectra with an array that lies on another array: offsets or lengths are wrong there.
  virtual std::vector<std::int64_t> overlapping_spectra() const = 0;
  // The shared axis of a continuous file (ascending); empty for a processed one.
  virtual std::span<const double> shared_mz() const = 0;
  // Smallest and largest m/z over all spectra of the dataset; reads the ends of every m/z array on first use.
  virtual std::pair<double, double> mz_range() const = 0;

  // Reading. Safe from several threads at once, each with its own buffers. FileError names file, spectrum and cause.
  virtual void read_spectrum(std::int64_t i, Spectrum& out) const = 0;
  // Only the values with mz_lo <= mz <= mz_hi. Uncompressed arrays: touches only the bytes it
  // needs, except that a processed spectrum's first range reads all of its m/z values to check that they ascend.
  virtual void read_spectrum(std::int64_t i, double mz_lo, double mz_hi, Spectrum& out) const = 0;
  // Continuous files only: intensities of bins [first, last) of the shared axis, float64.
  virtual void read_bins(std::int64_t i, std::int64_t first, std::int64_t last, double* out) const = 0;

  // Reading for a device: parts of arrays straight from the file to memory that the device reads next. Same values,
  // same errors, same warnings. Whether it is possible: nothing is compressed or to be repaired.
  virtual bool streams() const = 0;
  // Processed: the peaks with mz_lo <= mz <= mz_hi. `before`: what the last call for this spectrum gave, where the
  // search begins, or nothing. m/z values are checked to ascend as far as they have been looked at; check_further_peaks
  // checks the rest, and must have been called before the peaks of any range are trusted.
  virtual PeakRange find_peaks(std::int64_t i, double mz_lo, double mz_hi, PeakRange before) const = 0;
  virtual void check_further_peaks(std::int64_t i, PeakRange before) const = 0;
  // Values [first, last) of spectrum i: intensities of either mode, m/z values of a processed file that find_peaks has
  // seen. float: only where float_intensities(), float_mz(). Another thread may read them after finish_streams()
  // (core/stream_copy.h).
  virtual void stream(std::int64_t i, Values values, std::int64_t first, std::int64_t last, float* out) const = 0;
  virtual void stream(std::int64_t i, Values values, std::int64_t first, std::int64_t last, double* out) const = 0;
  // These are asked for soon. A hint; no range is wrong.
  virtual void prefetch(std::int64_t i, Values values, std::int64_t first, std::int64_t last) const = 0;
};

}  // namespace imn::io
