// Small types that the header, the layout and the readers share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace imn::io {

enum class Mode { continuous, processed };
enum class SpectrumType { profile, centroid };
enum class Polarity : std::uint8_t { unstated, positive, negative };
enum class Duplicates { first, sum, mean, error };
enum class Copies { keep, drop };
// How the bytes of a file are read: mapped and watched (io/lost_pages.h), mapped, or by read calls.
enum class Reading { watched, mapped, calls };

struct OpenOptions {
  std::optional<std::string> ibd_path;  // none: the file next to the imzML, found regardless of case
  bool strict = true;  // false: keep the readable spectra of a truncated ibd and warn with the number lost
  Duplicates duplicates = Duplicates::first;
  Copies copies = Copies::keep;  // drop: spectra that repeat an earlier one count as not measured; found when opening
  std::optional<SpectrumType> spectrum_type;  // overrides what the file declares or what is inferred
  // Only these spectra are read; the others are as if absent. None: the lowest MS level, the more frequent polarity,
  // all runs, with a warning where the file holds others.
  std::optional<std::int32_t> ms_level;
  std::optional<Polarity> polarity;
  std::optional<std::string> run;
  bool everything = false;  // read all spectra whatever they are, without a word about it
  Reading reading = Reading::watched;
  bool repair = false;  // sort m/z and drop NaN or negative m/z instead of refusing them
};

// Reusable buffers of one spectrum. m/z ascends; NaN and infinite intensities have become 0.
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

// A measured pixel: linear index y * width + x, and the spectrum shown there.
struct Pixel {
  std::int64_t index;
  std::int64_t spectrum;
};

// What the head of the file declares, as key/value text in file order (mode, spectrum type, pixel size, instrument
// ...).
using Declared = std::vector<std::pair<std::string, std::string>>;

}  // namespace imn::io
