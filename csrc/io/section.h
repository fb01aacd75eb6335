// Section: everything of an opened file that its Datasets (the whole file, its planes) share.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "io/array_reader.h"
#include "io/dataset.h"
#include "io/grid.h"
#include "io/layout.h"
#include "io/mapped_file.h"

namespace imn::io {

class Section {
 public:
  // Maps and parses the imzML file first: what is wrong with it must not read "its ibd file is missing".
  static std::shared_ptr<const Section> open(const std::string& path, const OpenOptions& options);
  Section(const std::string& path, const OpenOptions& options, const std::string& ibd_path, Header header);

  std::int64_t n_spectra() const { return static_cast<std::int64_t>(raw_.size() / 3); }
  std::int64_t length(std::int64_t s) const;
  std::span<const double> axis() const;
  // Number of the spectrum in the file, which counts those that were left out.
  std::int64_t in_file(std::int64_t s) const {
    return layout_.kept.empty() ? s : layout_.kept[static_cast<std::size_t>(s)];
  }
  // Spectra with an array that lies on another one, ascending; of arrays in a heap not all need be among them. Equal
  // m/z arrays are one, as are equal intensities.
  std::vector<std::int64_t> overlapping() const;
  std::vector<std::string> warnings() const;

  void read(std::int64_t s, Spectrum& out) const;
  void read(std::int64_t s, double lo, double hi, Spectrum& out) const;
  void read_bins(std::int64_t s, std::int64_t first, std::int64_t last, double* out) const;
  bool streams() const { return streams_; }
  PeakRange find_peaks(std::int64_t s, double lo, double hi, PeakRange before) const;
  void check_further_peaks(std::int64_t s, PeakRange before) const;
  template <typename T>
  void stream(std::int64_t s, Values values, std::int64_t first, std::int64_t last, T* out) const;
  void prefetch(std::int64_t s, Values values, std::int64_t first, std::int64_t last) const;
  // The ends of the m/z array; false: it is empty.
  bool ends(std::int64_t s, double& lo, double& hi) const;

  const std::string& path() const { return path_; }
  const std::string& ibd_path() const { return ibd_.path(); }
  bool changed() const { return ibd_.changed(); }
  void require_size() const { ibd_.require_size(); }
  const OpenOptions& options() const { return options_; }
  const Grid& grid() const { return grid_; }
  const std::vector<std::int64_t>& raw() const { return raw_; }
  const Declared& declared() const { return declared_; }
  Mode mode() const { return layout_.mode; }
  bool compressed() const;
  bool float_intensities() const { return layout_.intensity.all_fit_float(n_spectra()); }
  bool float_mz() const { return layout_.mz.all_fit_float(n_spectra()); }
  SpectrumType type() const { return type_; }
  std::optional<std::pair<double, double>> pixel_size_um() const { return pixel_size_; }

 private:
  void take_coordinates(const Header& header);
  // True as well where none, or nothing that is one, is declared.
  bool carries_uuid(const std::string& declared) const;
  void choose_type(const Header& header);
  void check_duplicates();
  struct Sampling {
    double regular_steps = 0.0;  // share of the steps that are like the one before; 0 where there are too few to tell
    double smoothness = 0.0;     // correlation of an intensity with the next one, mean over spectra
  };
  Sampling sampling() const;
  void load_axis() const;
  void read_all_mz(std::int64_t s, std::vector<double>& out) const;
  void read_intensity(std::int64_t s, std::int64_t first, std::int64_t last, double* out) const;
  void count_zeroed(std::int64_t s) const;
  void apply_repair(Spectrum& out) const;
  [[noreturn]] void refuse_mz(std::int64_t s) const;
  [[noreturn]] void fail(std::int64_t s, const std::string& cause) const;
  template <typename Body>
  void named(std::int64_t s, Body&& body) const;

  static constexpr const char* kForeignIbd =
      "the ibd file carries another UUID than the imzML file: do they belong together?";

  std::string path_;
  OpenOptions options_;
  MappedFile ibd_;
  Layout layout_;
  Grid grid_;
  std::vector<std::int64_t> raw_;
  Declared declared_;
  bool streams_ = false;
  bool foreign_ibd_ = false;  // its UUID is not the one that the imzML declares
  SpectrumType type_ = SpectrumType::centroid;
  std::optional<std::pair<double, double>> pixel_size_;
  std::vector<std::string> opening_warnings_;

  mutable std::once_flag axis_once_;
  mutable std::vector<double> axis_;
  mutable std::vector<std::int64_t> axis_order_;  // repaired axes only: where each bin lies in the file

  // A flag a spectrum, so that reading one twice does not count twice.
  mutable std::vector<std::atomic<std::uint8_t>> zeroed_;
  mutable std::atomic<std::int64_t> n_zeroed_{0};

  // Processed files: the m/z values of this spectrum were found to ascend, so that a range can be bisected.
  mutable std::vector<std::atomic<std::uint8_t>> ascending_;
};

}  // namespace imn::io
