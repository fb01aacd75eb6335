#include "images/candidate_axis.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>

#include "core/error.h"
#include "images/axis_check.h"
#include "images/axis_kinds.h"
#include "images/occupancy.h"
#include "images/sample_grid.h"

namespace imn::images {
namespace {

constexpr double kLoneBinPpm = 5.0;
constexpr std::size_t kFewBins = 32;         // a profile needs several bins for each peak and as many between peaks
constexpr std::size_t kMostFallback = 2000;  // bins that are taken where a profile shows no peaks

std::string number(double value) {
  std::ostringstream text;
  text.precision(3);
  text << value;
  return text.str();
}

CandidateAxis frequent(CandidateAxis axis, double least) {
  if (!(least > 0.0)) return axis;
  CandidateAxis kept;
  kept.method = axis.method;
  kept.notes = axis.notes;
  kept.evidence = axis.evidence;
  for (std::size_t i = 0; i < axis.mz.size(); ++i) {
    if (axis.frequency[i] < least) continue;
    kept.mz.push_back(axis.mz[i]);
    kept.mz_lo.push_back(axis.mz_lo[i]);
    kept.mz_hi.push_back(axis.mz_hi[i]);
    kept.frequency.push_back(axis.frequency[i]);
  }
  if (kept.mz.empty() && !axis.mz.empty()) {
    const double most = *std::max_element(axis.frequency.begin(), axis.frequency.end());
    kept.notes.push_back("no candidate was found: the most frequent of " + std::to_string(axis.mz.size()) +
                         " channels occurs in a share of " + number(most) + " of the spectra, below the smallest of " +
                         number(least) + "; lower it (Python: min_frequency=...)");
  }
  return kept;
}

// Adds the reason to an axis without channels.
void explain_emptiness(const io::Plane& plane, const AxisOptions& options, CandidateAxis& axis) {
  const bool told = std::any_of(axis.notes.begin(), axis.notes.end(),
                                [](const std::string& note) { return note.starts_with("no candidate was found"); });
  if (told) return;
  const auto shown = plane.shown().spectra();
  const std::size_t n = shown.size();
  const bool profile = plane.file().spectrum_type() == io::SpectrumType::profile;
  io::Spectrum spectrum;
  std::int64_t filled = 0;
  std::int64_t longest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 256 == 0) throw_if_cancelled(options.cancel);
    plane.read(shown[i], spectrum);
    const auto values = static_cast<std::int64_t>(
        std::count_if(spectrum.intensity.begin(), spectrum.intensity.end(), [](double v) { return v != 0.0; }));
    filled += values > 0 ? 1 : 0;
    longest = std::max(longest, static_cast<std::int64_t>(spectrum.mz.size()));
  }
  axis.evidence["spectra_with_values"] = static_cast<double>(filled);
  axis.evidence["longest_spectrum"] = static_cast<double>(longest);
  std::string cause;
  if (filled == 0) {
    cause =
        "all " + std::to_string(n) + " spectra are empty or zero; check the filter or conversion that wrote the file";
  } else if (profile) {
    cause = "no maximum of the mean spectrum exceeds the noise (" + std::to_string(longest) +
            " values in the longest spectrum, " + std::to_string(filled) + " of " + std::to_string(n) +
            " spectra with a non-zero value); take every bin (--axis bins, Python: axis=\"bins\"), or read the "
            "values as peaks (--spectrum-type centroid, Python: spectrum_type=\"centroid\")";
  } else {
    cause = "no m/z recurs in enough spectra (" + axis.method + "; " + std::to_string(filled) + " of " +
            std::to_string(n) +
            " spectra hold peaks); allow rarer channels (Python: min_frequency=...) or give the m/z (--mz-list)";
  }
  axis.notes.push_back("no candidate was found: " + cause);
}

// The bins of the shared axis where peaks make no sense: hardly any bins, or no peak in a file that does not look like
// profiles either.
CandidateAxis or_bins(const io::Plane& plane, const AxisOptions& options, CandidateAxis found) {
  const std::size_t bins = plane.spectra().shared_mz().size();
  const bool few = bins < kFewBins;
  const bool none = found.mz.empty() && bins <= kMostFallback;
  if (bins == 0 || !(few || none)) return found;
  if (plane.file().type_decision().sampling.shape() == io::SpectrumShape::profile) return found;
  CandidateAxis axis = axis_of_bins(plane, options);
  if (*std::max_element(axis.frequency.begin(), axis.frequency.end()) == 0.0) return found;
  axis.notes.push_back(
      "the spectra are read as profiles, but " +
      (few ? "have only " + std::to_string(bins) + " m/z, too few for peaks"
           : std::string("show no peak above the noise")) +
      "; each of the " + std::to_string(axis.mz.size()) +
      " m/z of the shared axis is a candidate instead; --axis peaks (Python: axis=\"peaks\") takes maxima only");
  axis.evidence["bins"] = static_cast<double>(bins);
  axis.evidence["profile_peaks"] = static_cast<double>(found.mz.size());
  return axis;
}

void add_decision(const io::TypeDecision& decision, CandidateAxis& axis) {
  const io::Sampling& found = decision.sampling;
  axis.evidence["declared_type"] = io::to_string(decision.declared);
  axis.evidence["read_as"] = decision.type == io::SpectrumType::profile ? "profile" : "centroid";
  axis.evidence["looks_like"] = io::to_string(found.shape());
  axis.evidence["shaped_maxima"] = found.shaped_maxima;
  axis.evidence["regular_maxima"] = found.regular_maxima;
  axis.evidence["isotope_spacing"] = found.isotope_spacing;
  axis.evidence["regular_steps"] = found.regular_steps;
  axis.evidence["smoothness"] = found.smoothness;
  axis.evidence["whole_numbers"] = found.whole_numbers ? 1.0 : 0.0;
}

}  // namespace

std::vector<MzWindow> bin_windows(std::span<const double> mz) {
  const std::size_t n = mz.size();
  std::vector<MzWindow> windows(n);
  if (n == 1) windows[0] = ppm_window(mz[0], kLoneBinPpm);
  for (std::size_t i = 0; n > 1 && i < n; ++i) {
    const double left = i > 0 ? 0.5 * (mz[i] - mz[i - 1]) : 0.5 * (mz[1] - mz[0]);
    const double right = i + 1 < n ? 0.5 * (mz[i + 1] - mz[i]) : 0.5 * (mz[i] - mz[i - 1]);
    windows[i] = {mz[i] - left, mz[i] + right};
    // Rounding must not let two windows share a value, nor a window lose its own bin.
    if (i > 0 && windows[i].lo <= windows[i - 1].hi) {
      windows[i].lo = std::nextafter(windows[i - 1].hi, std::numeric_limits<double>::infinity());
    }
    windows[i].lo = std::min(windows[i].lo, mz[i]);
    windows[i].hi = std::max(windows[i].hi, mz[i]);
  }
  return windows;
}

void fill_frequency(const io::Plane& plane, const AxisOptions& options, CandidateAxis& axis) {
  std::vector<MzWindow> windows;
  for (std::size_t i = 0; i < axis.mz.size(); ++i) windows.push_back({axis.mz_lo[i], axis.mz_hi[i]});
  axis.frequency.clear();
  for (const std::int64_t pixels : pixels_in_windows(plane, windows, options.threads, options.cancel)) {
    axis.frequency.push_back(static_cast<double>(pixels) / static_cast<double>(plane.shown().n_pixels()));
  }
}

CandidateAxis axis_of_bins(const io::Plane& plane, const AxisOptions& options) {
  CandidateAxis axis;
  if (plane.spectra().mode() == io::Mode::continuous) {
    // A repeated m/z is one channel, whose window covers all of its bins.
    std::unique_copy(plane.spectra().shared_mz().begin(), plane.spectra().shared_mz().end(),
                     std::back_inserter(axis.mz));
    axis.method = "bins of the shared axis";
  } else {
    axis.mz = sample_grid(plane).mz;
    axis.method = "bins of a common grid at the spacing of the spectra";
  }
  for (const MzWindow& window : bin_windows(axis.mz)) {
    axis.mz_lo.push_back(window.lo);
    axis.mz_hi.push_back(window.hi);
  }
  fill_frequency(plane, options, axis);
  return axis;
}

CandidateAxis candidate_axis(const io::Plane& plane, const AxisOptions& options) {
  if (options.ppm && !(std::isfinite(*options.ppm) && *options.ppm > 0.0)) {
    throw ArgumentError("candidate_axis: ppm must be positive");
  }
  if (options.min_frequency && !(*options.min_frequency >= 0.0 && *options.min_frequency <= 1.0)) {
    throw ArgumentError("candidate_axis: min_frequency must be between 0 and 1");
  }
  const double least = options.min_frequency.value_or(0.0);
  const bool centroid = plane.file().spectrum_type() == io::SpectrumType::centroid;
  const bool continuous = plane.spectra().mode() == io::Mode::continuous;
  CandidateAxis axis;
  if (options.kind == AxisKind::bins || (options.kind == AxisKind::automatic && centroid && continuous)) {
    if (centroid && !continuous) {
      throw ArgumentError("candidate_axis: " + plane.file().path() +
                          " contains processed centroid spectra, which have no bins; use kind 'auto' or 'peaks'");
    }
    axis = frequent(axis_of_bins(plane, options), least);
  } else if (centroid && !continuous) {
    axis = axis_of_centroids(plane, options);
    if (!options.min_frequency) check_strongest_peaks(plane, options, axis);
  } else {
    axis = axis_of_profile(plane, options);
    if (options.kind == AxisKind::automatic && continuous) axis = or_bins(plane, options, std::move(axis));
    axis = frequent(std::move(axis), least);
  }
  if (axis.mz.empty()) explain_emptiness(plane, options, axis);
  if (!axis.mz.empty() && *std::max_element(axis.frequency.begin(), axis.frequency.end()) == 0.0) {
    axis.notes.push_back("all spectra are empty or zero, so that the images of the " + std::to_string(axis.mz.size()) +
                         " candidates are blank; check the filter or conversion that wrote the file");
  }
  add_decision(plane.file().type_decision(), axis);
  plane.spectra().require_size();
  return axis;
}

}  // namespace imn::images
