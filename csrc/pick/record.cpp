#include "pick/record.h"

#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "core/error.h"
#include "core/sha256.h"
#include "io/os_file.h"

#ifndef _WIN32
#include <sys/utsname.h>
#endif

namespace imn::pick {

namespace {

using Json = nlohmann::ordered_json;

// Version of the layout of run.json, as in the Python module.
constexpr int kSchema = 1;

double rounded(double value) { return std::round(value * 1e4) / 1e4; }

Json rounded(const std::optional<double>& value) { return value ? Json(rounded(*value)) : Json(); }

template <typename T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

std::string now() {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
#ifdef _WIN32
  gmtime_s(&parts, &seconds);
#else
  gmtime_r(&seconds, &parts);
#endif
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S+00:00", &parts);
  return text.data();
}

Json host() {
  const auto cpus = static_cast<std::int64_t>(std::thread::hardware_concurrency());
#ifdef _WIN32
  return {{"machine", "AMD64"}, {"system", "Windows"}, {"cpus", cpus}};
#else
  utsname name{};
  ::uname(&name);
  return {{"machine", name.machine}, {"system", name.sysname}, {"cpus", cpus}};
#endif
}

std::string absolute(const std::string& path) {
  std::error_code error;
  const auto found = std::filesystem::absolute(std::u8string(path.begin(), path.end()), error).lexically_normal();
  const std::u8string text = found.u8string();
  return error ? path : std::string(text.begin(), text.end());
}

// Empty if the files are gone.
Json known_state(const std::string& imzml, const std::string& ibd) {
  try {
    const FileState state = file_state(imzml, ibd);
    return {{"imzml_bytes", state.imzml_bytes},
            {"imzml_mtime_ns", state.imzml_mtime_ns},
            {"ibd_bytes", state.ibd_bytes},
            {"ibd_mtime_ns", state.ibd_mtime_ns},
            {"pieces_sha256", state.pieces_sha256}};
  } catch (const FileError&) {
    return Json::object();
  }
}

const char* name_of(io::Duplicates duplicates) {
  switch (duplicates) {
    case io::Duplicates::first:
      return "first";
    case io::Duplicates::sum:
      return "sum";
    case io::Duplicates::mean:
      return "mean";
    default:
      return "error";
  }
}

const char* name_of(io::SpectrumType type) { return type == io::SpectrumType::profile ? "profile" : "centroid"; }

Json opened_with(const io::OpenOptions& options) {
  return {{"strict", options.strict},
          {"duplicates", name_of(options.duplicates)},
          {"spectrum_type", options.spectrum_type ? Json(name_of(*options.spectrum_type)) : Json()},
          {"repair", options.repair},
          {"copies", options.copies == io::Copies::drop ? "drop" : "keep"},
          {"ms_level", optional(options.ms_level)},
          {"polarity", options.polarity ? Json(io::name_of(*options.polarity)) : Json()},
          {"run", optional(options.run)}};
}

Json input(const io::Plane& plane, const Opened& opened, std::optional<images::Norm> normalize) {
  const io::File& file = plane.file();
  const io::Geometry& geometry = plane.geometry();
  std::map<std::string, std::string> declared(file.declared().begin(), file.declared().end());
  const auto text = [&](const char* key) { return declared.contains(key) ? Json(declared[key]) : Json(); };
  const auto& size = file.pixel_size_um();
  const std::string ibd = file.spectra().ibd_path();
  const auto level = file.selection().ms_level;
  const auto polarity = file.selection().polarity;
  return {{"path", opened.on_disk ? absolute(file.path()) : file.path()},
          {"ibd_path", opened.on_disk ? absolute(ibd) : ibd},
          {"z", optional(opened.z)},
          {"uuid", text("uuid")},
          {"n_spectra", plane.n_spectra()},
          {"height", geometry.height},
          {"width", geometry.width},
          {"mode", file.spectra().mode() == io::Mode::continuous ? "continuous" : "processed"},
          {"spectrum_type", name_of(file.spectrum_type())},
          {"pixel_size_um", size ? Json({size->first, size->second}) : Json()},
          {"coordinate_origin", geometry.origin},
          {"coordinate_step", geometry.step},
          {"opened_with", opened_with(opened.options)},
          {"warnings", file.warnings()},
          {"normalize", normalize ? images::name_of(*normalize) : "none"},
          {"files", opened.on_disk ? known_state(file.path(), ibd) : Json::object()},
          {"region", optional(opened.region)},
          {"ms_level", optional(level)},
          {"polarity", polarity && *polarity != io::Polarity::unstated ? Json(io::name_of(*polarity)) : Json()},
          {"instrument", text("instrument")},
          {"source_file", text("source_file")},
          {"software", text("software")}};
}

Json model_record(const models::Model& model) {
  return {{"name", model.name},       {"architecture", model.architecture},   {"preprocessing", model.preprocessing},
          {"outputs", model.outputs}, {"statistics", model.statistics_names}, {"sha256", model.sha256}};
}

Json axis_record(const images::CandidateAxis& axis) {
  Json evidence = Json::object();
  for (const auto& [name, value] : axis.evidence) {
    std::visit([&, key = name](const auto& v) { evidence[key] = v; }, value);
  }
  return {{"method", axis.method}, {"n_channels", axis.mz.size()}, {"notes", axis.notes}, {"evidence", evidence}};
}

Json sample_record(const Peaks& peaks) {
  if (!peaks.sample) return nullptr;
  const SectionSample& sample = *peaks.sample;
  return {{"kind", sample.kind},
          {"used", peaks.sample_used},
          {"share", rounded(sample.share)},
          {"off_sample", rounded(sample.off_sample)},
          {"separation", rounded(sample.separation)},
          {"noise", rounded(sample.noise)},
          {"n_images", sample.n_images},
          {"n_coherent", sample.n_coherent}};
}

Json common(const Scorer& scorer, const Options& options, const Channels& channels, const Peaks& peaks,
            const std::string& version) {
  const auto count = [](const std::vector<std::uint8_t>& flags) {
    return std::accumulate(flags.begin(), flags.end(), std::int64_t{0});
  };
  Json timings = Json::object(), loop = Json::object();
  for (const auto& [name, seconds] : peaks.timings) timings[name] = rounded(seconds);
  for (const auto& [name, value] : peaks.scoring_loop) {
    if (const double* seconds = std::get_if<double>(&value)) {
      loop[name] = rounded(*seconds);
    } else {
      std::visit([&, key = name](const auto& v) { loop[key] = v; }, value);
    }
  }
  Json cascade;
  if (scorer.model != nullptr && scorer.cascade && scorer.model->cascade && scorer.device_network == nullptr) {
    const models::ModelCascade& limits = *scorer.model->cascade;
    cascade = {{"moran_z", limits.limits.moran_z}, {"blur", limits.limits.blur}, {"ceiling", limits.ceiling}};
  }
  return {{"schema", kSchema},
          {"date", now()},
          {"scorer", scorer.name},
          {"device", scorer.device},
          {"precision", scorer.precision},
          {"refused", scorer.refused},
          {"score", scorer.description()},
          {"model", scorer.model == nullptr ? Json() : model_record(*scorer.model)},
          {"calibration", Json()},
          {"axis", axis_record(channels.axis)},
          {"parameters",
           {{"top", optional(options.top)},
            {"min_score", optional(options.min_score)},
            {"threshold", optional(peaks.threshold)},
            {"ppm", optional(channels.ppm)},
            {"tol", optional(channels.tol)},
            {"memory_limit_bytes", options.memory_limit},
            {"device_memory_limit_bytes", optional(options.device_memory_limit)},
            {"threads", options.threads},
            {"exclude", Json::array()}}},
          {"counts",
           {{"candidates", peaks.n()},
            {"blank", count(peaks.blank)},
            {"spared", count(peaks.spared)},
            {"picked", peaks.n_picked},
            {"excluded", 0}}},
          {"cascade", cascade},
          {"timings", timings},
          {"scoring_loop", loop},
          {"versions", {{"ionmorphnet", version}}},
          {"host", host()},
          {"warnings", peaks.warnings},
          {"sample", sample_record(peaks)},
          {"request", Json()}};
}

// Text that a header declares need not be UTF-8; what is not becomes a replacement character.
std::string dumped(const Json& record) { return record.dump(2, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string run_record(const io::Plane& plane, const Opened& opened, const Scorer& scorer, const Channels& channels,
                       const Options& options, const Peaks& peaks, const std::string& version) {
  Json record = common(scorer, options, channels, peaks, version);
  record["input"] = input(plane, opened, options.normalize);
  record["not_checked"] = {"faults of the measurement or conversion that the spectra show",
                           "isotopes and adducts of a picked ion that share its pattern"};
  return dumped(record);
}

std::string run_record(const Scorer& scorer, const Options& options, const Peaks& peaks, const std::string& version) {
  Json record = common(scorer, options, Channels{}, peaks, version);
  record["input"] = nullptr;
  record["axis"] = nullptr;
  return dumped(record);
}

FileState file_state(const std::string& imzml, const std::string& ibd) {
  constexpr std::int64_t kPieces = 32, kPieceBytes = 4096;
  FileState state;
  Sha256 hash;
  const auto take = [&](const std::string& path, std::int64_t& bytes, std::int64_t& changed) {
    const io::OsFile file(path, io::Access::random);
    bytes = static_cast<std::int64_t>(file.size());
    std::array<std::byte, kPieceBytes> piece;
    for (std::int64_t k = 0; k < kPieces; ++k) {
      const std::int64_t at = std::max<std::int64_t>(0, bytes - kPieceBytes) * k / (kPieces - 1);
      const std::int64_t n = file.read(at, kPieceBytes, piece.data());
      hash.update(std::span(piece).first(static_cast<std::size_t>(std::max<std::int64_t>(0, n))));
    }
    changed = file.opened().seconds * 1'000'000'000 + file.opened().nanoseconds;
  };
  take(imzml, state.imzml_bytes, state.imzml_mtime_ns);
  take(ibd, state.ibd_bytes, state.ibd_mtime_ns);
  state.pieces_sha256 = hash.hex();
  return state;
}

}  // namespace imn::pick
