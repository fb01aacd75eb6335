// The run record of a pick as JSON, with the keys of run.json (python/ionmorphnet/picking/run_record.py).
#pragma once

#include <string>

#include "pick/axis.h"
#include "pick/pick.h"

namespace imn::pick {

// How the section was opened, for the record.
struct Opened {
  io::OpenOptions options;
  std::optional<std::int32_t> z, region;
  bool on_disk = true;  // path and ibd_path are files
};

// What a record in Python has and this one cannot, it lists under "not_checked".
std::string run_record(const io::Plane& plane, const Opened& opened, const Scorer& scorer, const Channels& channels,
                       const Options& options, const Peaks& peaks, const std::string& version);
// Of images in memory; without input and axis.
std::string run_record(const Scorer& scorer, const Options& options, const Peaks& peaks, const std::string& version);

// What tells whether the files of a section are still the ones that were read: their sizes and times of last change,
// and a hash of pieces of them.
struct FileState {
  std::int64_t imzml_bytes = 0, imzml_mtime_ns = 0, ibd_bytes = 0, ibd_mtime_ns = 0;
  std::string pieces_sha256;
};

// Throws FileError if one cannot be read.
FileState file_state(const std::string& imzml, const std::string& ibd);

}  // namespace imn::pick
