// Spectra: the arrays of an opened file, read by the spectrum's index. The hot path of binning.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "io/array_reader.h"
#include "io/bytes.h"
#include "io/layout.h"
#include "io/selection.h"
#include "io/spectrum_kind.h"
#include "io/spectrum_source.h"
#include "io/types.h"

namespace imn::io {

// All reading is safe from several threads at once, each with its own buffers. FileError names file, spectrum, cause.
//
// Spectra come from the arrays of an ibd file, or from a SpectrumSource, which supplies whole spectra and their lengths
// and nothing else: bounds and ranges then come from whole spectra, as they do here for a file to be repaired, and
// streams() is false. Grid, pixels, planes and all later stages do not know where a spectrum comes from.
class Spectra {
 public:
  // Takes the array columns of the selected spectra out of `header`. Throws FileError if the ibd file or an array of
  // these cannot be used.
  Spectra(const std::string& imzml_path, Bytes ibd, const OpenOptions& options, Header& header,
          const Selection& selection);
  // All spectra of a source.
  Spectra(std::shared_ptr<const SpectrumSource> source, const OpenOptions& options);

  std::int64_t size() const { return size_; }
  Mode mode() const { return layout_.mode; }  // as found from the m/z offsets
  const std::string& ibd_path() const { return ibd_.path(); }
  // Index in the file, counted from 0 as messages do: spectra that were left out shift it.
  std::int64_t number_in_file(std::int64_t s) const {
    return layout_.kept.empty() ? s : layout_.kept[static_cast<std::size_t>(s)];
  }
  // Spectra with an array that overlaps another one, ascending: their offsets or lengths are wrong. Not every spectrum
  // of a longer run of overlaps need be listed. Spectra may share one m/z array, or one intensity array.
  std::vector<std::int64_t> overlapping() const;
  // By spectrum: the earlier one that it repeats value for value, or -1; empty if none does. Empty and constant spectra
  // repeat none, nor do spectra of so few digits (counts of a few ions) that chance makes them equal. Reads a few bytes
  // of every spectrum, and all of those that agree in them.
  std::vector<std::int64_t> copies(int threads, const std::atomic<bool>* cancel) const;
  bool share_intensities(std::int64_t a, std::int64_t b) const {  // one array in the ibd file
    return !source_ && layout_.intensity[a].offset == layout_.intensity[b].offset;
  }
  // Processed files: spectra whose intensity array is that of an earlier spectrum with other m/z.
  std::vector<std::int64_t> borrowed_intensities() const;
  // One line per kind of problem; the second grows while spectra are read.
  std::vector<std::string> opening_warnings() const;
  std::vector<std::string> reading_warnings() const;

  // Throws FileError if the ibd file is shorter than it was when opened: some of the values read may then be zeros.
  // Each read already detects pages that are gone; call this at the end of longer work to detect the rest.
  void require_size() const { ibd_.require_size(); }
  // Whether the ibd file was modified since it was opened: values read may then be of either state.
  bool changed() const { return ibd_.changed(); }

  // Whether intensities must be inflated: reading a late part of a spectrum then costs as much as reading all of it.
  bool compressed() const;
  // Whether the stored type makes every intensity, or every m/z value, exactly a float32: copies for a device then need
  // half the bytes.
  bool float_intensities() const { return !source_ && layout_.intensity.all_fit_float(size_); }
  bool float_mz() const { return !source_ && layout_.mz.all_fit_float(size_); }
  // Number of m/z values of a spectrum, without reading it.
  std::int64_t length(std::int64_t s) const;
  // The m/z axis of a continuous file, ascending; empty for a processed file.
  std::span<const double> shared_mz() const;
  // First and last m/z of a spectrum; false if it is empty.
  bool ends(std::int64_t s, double& lo, double& hi) const;
  // From a few spectra, of those that `of` lists or of all. Arrays that cannot be read are skipped.
  Sampling sampling(std::span<const std::int64_t> of = {}) const;

  void read(std::int64_t s, Spectrum& out) const;
  // Only the values with lo <= m/z <= hi. For uncompressed arrays this touches only the bytes it needs, except that the
  // first range of a processed spectrum reads all of its m/z values to check that they ascend.
  void read(std::int64_t s, double lo, double hi, Spectrum& out) const;
  // Continuous files only: intensities of bins [first, last) of the shared axis.
  void read_bins(std::int64_t s, std::int64_t first, std::int64_t last, double* out) const;

  // Parts of arrays copied straight from the file to memory that a device reads next: see StreamReader (plane.h).
  bool streams() const { return streams_; }
  PeakRange find_peaks(std::int64_t s, double lo, double hi, PeakRange before) const;
  void check_further_peaks(std::int64_t s, PeakRange before) const;
  template <typename T>
  void stream(std::int64_t s, Values values, std::int64_t first, std::int64_t last, T* out) const;
  void prefetch(std::int64_t s, Values values, std::int64_t first, std::int64_t last) const;

 private:
  // Also true if the imzML file declares no UUID, or none that can be read.
  bool carries_uuid(const std::string& declared) const;
  // Elements [first, last) of an array. Touches or reads no other bytes unless it is compressed.
  void read_values(const ArrayRef& array, std::int64_t first, std::int64_t last, double* out) const;
  void load_axis() const;
  void read_source(std::int64_t s, Spectrum& out) const;
  void read_all_mz(std::int64_t s, std::vector<double>& out) const;
  void read_intensity(std::int64_t s, std::int64_t first, std::int64_t last, double* out) const;
  void count_zeroed(std::int64_t s) const;
  void apply_repair(Spectrum& out) const;
  [[noreturn]] void refuse_mz(std::int64_t s) const;
  // `cause`, or a better one if the m/z values make sense in another reading of the same bytes.
  std::string explain_mz(std::int64_t s, const std::string& cause) const;
  [[noreturn]] void fail(std::int64_t s, const std::string& cause) const;
  template <typename Body>
  void named(std::int64_t s, Body&& body) const;

  std::string path_;  // of the imzML file, for messages
  bool repair_;
  Bytes ibd_;
  std::shared_ptr<const SpectrumSource> source_;  // null: spectra come from the ibd file
  Layout layout_;
  std::int64_t size_ = 0;
  bool streams_ = false;
  bool foreign_ibd_ = false;  // the ibd file's UUID differs from the one that the imzML file declares

  mutable std::once_flag axis_once_;
  mutable std::vector<double> axis_;
  mutable std::vector<std::int64_t> axis_order_;  // repaired axes only: position of each bin in the file

  // One flag per spectrum, so that reading it twice does not count it twice.
  mutable std::vector<std::atomic<std::uint8_t>> zeroed_;
  mutable std::atomic<std::int64_t> n_zeroed_{0};

  // Processed files: the m/z values of this spectrum were found to ascend, so that a range can be bisected.
  mutable std::vector<std::atomic<std::uint8_t>> ascending_;
};

}  // namespace imn::io
