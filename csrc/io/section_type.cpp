// Profile or centroid: what the file says, and what its values look like.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/section.h"

namespace imn::io {

namespace {

// Of steps, and as serial correlation of intensities: files declared profile that were looked at have 1.0 and more than
// 0.6, those declared centroid at most 0.44 and 0.47.
constexpr double kRegular = 0.75;
constexpr double kSmooth = 0.5;

}  // namespace

// Profile spectra are sampled: the distance to the next value hardly changes from one value to the next, whereas peaks
// lie at irregular distances. And a profile is smooth, whereas neighbouring peaks, or bins, have little to do with each
// other.
Section::Sampling Section::sampling() const {
  constexpr std::int64_t kSpectra = 16;
  constexpr std::int64_t kValues = 4096;
  std::int64_t regular = 0, pairs = 0, looked_at = 0;
  std::int64_t shaped = 0;
  double together = 0.0;
  std::vector<double> mz, intensity;
  const std::int64_t n = n_spectra();
  const std::int64_t stride = std::max<std::int64_t>(1, n / kSpectra);
  for (std::int64_t s = 0; s < n && looked_at < kSpectra; s += stride) {
    const std::int64_t values = std::min(layout_.mz.length(s), kValues);
    if (values < 3) continue;
    mz.resize(static_cast<std::size_t>(values));
    intensity.resize(mz.size());
    try {
      read_array(ibd_.bytes(), layout_.mz[s], 0, values, mz.data());
      read_array(ibd_.bytes(), layout_.intensity[s], 0, values, intensity.data());
    } catch (const ArrayError&) {
      continue;  // reading it will say so
    }
    ++looked_at;
    for (std::size_t k = 2; k < mz.size(); ++k) {
      const double a = mz[k - 1] - mz[k - 2], b = mz[k] - mz[k - 1];
      if (!(a > 0.0 && b > 0.0)) continue;
      ++pairs;
      if (std::min(a, b) > 0.8 * std::max(a, b)) ++regular;
    }
    zero_non_finite(intensity);
    double mean = 0.0;
    for (const double v : intensity) mean += v / static_cast<double>(values);
    double own = 0.0, next = 0.0;
    for (std::size_t k = 0; k < intensity.size(); ++k) {
      own += (intensity[k] - mean) * (intensity[k] - mean);
      if (k > 0) next += (intensity[k] - mean) * (intensity[k - 1] - mean);
    }
    // What rounding leaves of a constant is no shape.
    if (!(own > 1e-12 * mean * mean * static_cast<double>(values)) || !std::isfinite(own)) continue;
    ++shaped;  // each spectrum counts alike, however bright it is
    together += next / own;
  }
  if (pairs < 8) return {};
  return {static_cast<double>(regular) / static_cast<double>(pairs),
          shaped > 0 ? together / static_cast<double>(shaped) : 0.0};
}

void Section::choose_type(const Header& header) {
  if (options_.spectrum_type) {
    type_ = *options_.spectrum_type;
    return;
  }
  const std::string& text = header.text.spectrum_type;
  const bool one_kind = (header.profile_spectra > 0) != (header.centroid_spectra > 0);
  if (one_kind || (header.profile_spectra == 0 && !text.empty())) {
    const bool profile = one_kind ? header.profile_spectra > 0 : text == "profile";
    type_ = profile ? SpectrumType::profile : SpectrumType::centroid;
    if (profile) return;
    const Sampling found = sampling();
    if (found.regular_steps > kRegular && found.smoothness > kSmooth) {
      opening_warnings_.push_back(
          "the file says centroid, but its m/z values lie at regular distances and its spectra are smooth, as profile "
          "spectra are; if that is what they are, say so (spectrum_type, pick --spectrum-type)");
    }
    return;
  }
  type_ = sampling().regular_steps > 0.5 ? SpectrumType::profile : SpectrumType::centroid;
  opening_warnings_.push_back(
      std::string(header.profile_spectra == 0 ? "the file does not say whether its spectra are profile or centroid"
                                              : "the file says both profile and centroid") +
      "; from the data it was taken as " + (type_ == SpectrumType::profile ? "profile" : "centroid"));
}

}  // namespace imn::io
