#include "io/spectrum_kind.h"

#include <cmath>
#include <cstdio>

namespace imn::io {
namespace {

constexpr std::int64_t kFewestMaxima = 8;  // that say anything
constexpr std::int64_t kManyValues = 50;
constexpr double kRegular = 0.75;
constexpr double kSmooth = 0.5;
// In the real and simulated files examined, at least 0.48 of the strongest maxima of profiles are shaped (at least 0.8
// of ten counts or more), and at most 0.06 of those of lists and bins.
constexpr double kShaped = 0.35;
constexpr double kUnshaped = 0.1;
constexpr double kIrregular = 0.35;  // regular maxima: lists reach 0.3, and profiles of single counts start at 0.4
// Isotope patterns of peptides, in bins of one mass unit, reach 0.76 and 0.72; resampled profiles exceed both limits.
constexpr double kFullyShaped = 0.9;
constexpr double kVerySmooth = 0.85;

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.0f %%", 100.0 * share);
  return text;
}

std::string evidence(const Sampling& found) {
  return percent(found.shaped_maxima) + " of the strongest maxima look like sampled peaks, " +
         percent(found.regular_maxima) + " have equal distances to both neighbours" +
         (found.isotope_spacing > kMostlyIsotopes ? ", " + percent(found.isotope_spacing) + " lie at isotope distances"
                                                  : "");
}

}  // namespace

const char* to_string(DeclaredType declared) {
  switch (declared) {
    case DeclaredType::profile:
      return "profile";
    case DeclaredType::centroid:
      return "centroid";
    case DeclaredType::both:
      return "profile and centroid";
    default:
      return "nothing";
  }
}

const char* to_string(SpectrumShape shape) {
  return shape == SpectrumShape::profile ? "profile" : shape == SpectrumShape::list ? "list" : "unclear";
}

SpectrumShape Sampling::shape() const {
  if (maxima < kFewestMaxima) {
    // Few peaks in many values may still be sampled ones.
    const bool sampled = values >= kManyValues && regular_steps > kRegular && smoothness > kSmooth;
    return sampled && maxima > 0 && shaped_maxima >= kFullyShaped && isotope_spacing == 0.0 ? SpectrumShape::profile
                                                                                            : SpectrumShape::unclear;
  }
  if (isotope_spacing > kMostlyIsotopes) {
    return shaped_maxima >= kFullyShaped && smoothness >= kVerySmooth ? SpectrumShape::profile : SpectrumShape::list;
  }
  if (shaped_maxima >= kShaped) return SpectrumShape::profile;
  if (shaped_maxima < kUnshaped && regular_maxima < kIrregular) return SpectrumShape::list;
  return SpectrumShape::unclear;
}

TypeDecision decide_type(DeclaredType declared, std::optional<SpectrumType> given, Mode mode,
                         const Sampling& sampling) {
  TypeDecision decision;
  decision.declared = declared;
  decision.sampling = sampling;
  if (given) {
    decision.type = *given;
    decision.given = true;
    return decision;
  }
  const SpectrumShape shape = sampling.shape();
  const bool profile = shape == SpectrumShape::profile;
  decision.type = profile ? SpectrumType::profile : SpectrumType::centroid;
  if (declared == DeclaredType::none || declared == DeclaredType::both) {
    decision.warning =
        std::string(declared == DeclaredType::none ? "the file does not say whether its spectra are profile or centroid"
                                                   : "the file says both profile and centroid") +
        "; judging by the data, they are read as " + (profile ? "profile" : "centroid") + " (" + evidence(sampling) +
        "); --spectrum-type (Python: spectrum_type=) sets it";
    return decision;
  }
  if (declared == DeclaredType::profile) {
    if (shape != SpectrumShape::list) {
      decision.type = SpectrumType::profile;
      return decision;
    }
    decision.warning =
        "the file says profile, but its spectra are lists of peaks (" + evidence(sampling) + "), so that " +
        (mode == Mode::continuous ? "every m/z of the shared axis is a candidate" : "they are read as centroid") +
        "; if they are profiles, set --spectrum-type profile (Python: spectrum_type=\"profile\")";
    return decision;
  }
  if (!profile) return decision;
  decision.warning = "the file says centroid, but its spectra are sampled like profiles (" + evidence(sampling) + ")";
  if (mode == Mode::continuous) {
    decision.type = SpectrumType::centroid;
    decision.warning +=
        "; every m/z of the shared axis is a candidate, several for each ion; if they are profiles, set "
        "--spectrum-type profile (Python: spectrum_type=\"profile\")";
  } else {
    decision.warning +=
        " and are read as profile; if they are lists of peaks, set --spectrum-type centroid "
        "(Python: spectrum_type=\"centroid\")";
  }
  return decision;
}

}  // namespace imn::io
