// The controlled-vocabulary terms that this reader acts on. Unknown terms are never an error.
#pragma once

#include <cstdint>
#include <string_view>

namespace imn::io {

enum class Term : std::uint8_t {
  unknown,
  // the file
  continuous,
  processed,
  uuid,
  ibd_md5,
  ibd_sha1,
  ibd_sha256,
  // the spectrum
  profile,
  centroid,
  positive,
  negative,
  ms_level,
  ms1_spectrum,
  msn_spectrum,
  light_spectrum,
  filter_string,
  window_lower,
  window_upper,
  position_x,
  position_y,
  position_z,
  // scan settings
  max_count_x,
  max_count_y,
  max_dimension_x,
  max_dimension_y,
  pixel_size_x,
  pixel_size_y,
  // the array
  mz_array,
  intensity_array,
  other_array,
  int8,
  int16,
  int32,
  int64,
  float16,
  float32,
  float64,
  no_compression,
  zlib,
  other_compression,
  external_data,
  external_offset,
  external_length,
  external_encoded,
};

constexpr int kTermCount = static_cast<int>(Term::external_encoded) + 1;

constexpr Term ms_term(std::uint32_t number) {
  switch (number) {
    case 1000127:
      return Term::centroid;
    case 1000128:
      return Term::profile;
    case 1000129:
      return Term::negative;
    case 1000130:
      return Term::positive;
    case 1000500:
      return Term::window_upper;
    case 1000501:
      return Term::window_lower;
    case 1000511:
      return Term::ms_level;
    case 1000512:
      return Term::filter_string;
    case 1000579:
    case 1000582:  // selected ion monitoring
      return Term::ms1_spectrum;
    case 1000580:
    case 1000581:  // consecutive reaction monitoring
    case 1000583:  // selected reaction monitoring
      return Term::msn_spectrum;
    case 1000804:  // electromagnetic radiation, its emission and absorption
    case 1000805:
    case 1000806:
      return Term::light_spectrum;
    case 1000514:
      return Term::mz_array;
    case 1000515:
      return Term::intensity_array;
    case 1000516:  // charge
    case 1000517:  // signal to noise
    case 1000595:  // time
    case 1000617:  // wavelength
    case 1000786:  // non-standard
    case 1000820:  // flow rate
    case 1000821:  // pressure
    case 1000822:  // temperature
    case 1002477:  // mean drift time
    case 1002478:  // mean charge
    case 1002529:  // resolution
    case 1002530:  // baseline
    case 1002742:  // noise
    case 1002743:  // sampled noise m/z
    case 1002744:  // sampled noise intensity
    case 1002745:  // sampled noise baseline
    case 1002816:  // mean ion mobility
    case 1002893:  // ion mobility
    case 1003006:  // mean inverse reduced ion mobility
    case 1003007:  // raw ion mobility
    case 1003008:  // raw inverse reduced ion mobility
      return Term::other_array;
    case 1000519:
      return Term::int32;
    case 1000520:
      return Term::float16;
    case 1000521:
      return Term::float32;
    case 1000522:
      return Term::int64;
    case 1000523:
      return Term::float64;
    case 1000574:
      return Term::zlib;
    case 1000576:
      return Term::no_compression;
    case 1002312:  // MS-Numpress, alone and followed by zlib or zstd
    case 1002313:
    case 1002314:
    case 1002746:
    case 1002747:
    case 1002748:
    case 1003088:  // truncation and zlib
    case 1003089:
    case 1003090:
      return Term::other_compression;
    default:
      return Term::unknown;
  }
}

constexpr Term ims_term(std::uint32_t number) {
  switch (number) {
    case 1000030:
      return Term::continuous;
    case 1000031:
      return Term::processed;
    case 1000042:
      return Term::max_count_x;
    case 1000043:
      return Term::max_count_y;
    case 1000044:
      return Term::max_dimension_x;
    case 1000045:
      return Term::max_dimension_y;
    case 1000046:
      return Term::pixel_size_x;
    case 1000047:
      return Term::pixel_size_y;
    case 1000050:
      return Term::position_x;
    case 1000051:
      return Term::position_y;
    case 1000052:
      return Term::position_z;
    case 1000080:
      return Term::uuid;
    case 1000090:
      return Term::ibd_md5;
    case 1000091:
      return Term::ibd_sha1;
    case 1000092:
      return Term::ibd_sha256;
    case 1000101:
      return Term::external_data;
    case 1000102:
      return Term::external_offset;
    case 1000103:
      return Term::external_length;
    case 1000104:
      return Term::external_encoded;
    case 1000141:
      return Term::int32;
    case 1000142:
      return Term::int64;
    case 1005001:  // xz
    case 1005002:  // lz4
    case 1005003:  // zstd
      return Term::other_compression;
    case 1100000:
      return Term::int8;
    case 1100001:
      return Term::int16;
    default:
      return Term::unknown;
  }
}

// "MS:1000514" -> Term::mz_array. IMS terms prove that a file is imzML rather than any mzML.
constexpr Term classify_term(std::string_view accession) {
  const bool ims = !accession.empty() && accession.front() == 'I';
  const std::size_t prefix = ims ? 4 : 3;
  if (accession.size() != prefix + 7 || accession.substr(0, prefix) != (ims ? "IMS:" : "MS:")) return Term::unknown;
  std::uint32_t number = 0;
  for (std::size_t i = prefix; i < accession.size(); ++i) {
    const unsigned digit = static_cast<unsigned>(accession[i]) - '0';
    if (digit > 9) return Term::unknown;
    number = number * 10 + digit;
  }
  return ims ? ims_term(number) : ms_term(number);
}

static_assert(classify_term("MS:1000514") == Term::mz_array);
static_assert(classify_term("IMS:1000102") == Term::external_offset);
static_assert(classify_term("MS:100051x") == Term::unknown);

}  // namespace imn::io
