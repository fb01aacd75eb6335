#include "capi/calls.h"

#include <algorithm>

namespace imn::capi {

namespace {

// The least and the largest structures that are taken for one: the size and a field, and what no version comes near.
constexpr std::uint32_t kLeastStruct = 8;
constexpr std::uint32_t kLargestStruct = 4096;

thread_local std::string last_message;

}  // namespace

imn_status failed(imn_status status, const char* message) noexcept {
  try {
    last_message = message;
  } catch (...) {
    last_message.clear();
  }
  return status;
}

void read_struct(const void* given, void* to, std::size_t size, const char* name) {
  std::uint32_t stated = 0;
  std::memcpy(&stated, given, sizeof stated);
  if (stated < kLeastStruct || stated > kLargestStruct || stated % 4 != 0) {
    throw StructError(std::string(name) + ": struct_size " + std::to_string(stated) +
                      " cannot be right; set it to sizeof the structure (IMN_INIT)");
  }
  const auto* bytes = static_cast<const unsigned char*>(given);
  for (std::size_t at = size; at < stated; ++at) {
    if (bytes[at] != 0) {
      throw StructError(std::string(name) + ": a field is set that this library (" + imn_version() +
                        ") does not know; the caller was compiled for a newer one");
    }
  }
  std::memcpy(to, given, std::min<std::size_t>(size, stated));
}

int checked_threads(std::int32_t threads, int otherwise) {
  if (threads < 0) throw ArgumentError("threads must be 0 (all) or more, not " + std::to_string(threads));
  return threads > 0 ? threads : otherwise;
}

void copy_text(const std::string& text, char* to, std::uint64_t n, std::uint64_t* length) {
  const std::uint64_t needed = text.size() + 1;
  if (length != nullptr) *length = needed;
  if (n == 0) return;
  if (to == nullptr) throw ArgumentError("the buffer is NULL, but its size is not 0");
  const std::size_t copied = static_cast<std::size_t>(std::min(n, needed)) - 1;
  std::memcpy(to, text.data(), copied);
  to[copied] = '\0';
  if (needed > n) {
    throw BufferError("the text needs " + std::to_string(needed) + " bytes, the buffer has " + std::to_string(n));
  }
}

void require_room(const void* to, std::uint64_t room, std::uint64_t n, const char* name) {
  if (room < n) {
    throw BufferError(std::string(name) + " has room for " + std::to_string(room) + " values, " + std::to_string(n) +
                      " are needed");
  }
  if (to == nullptr && n > 0) throw ArgumentError(std::string(name) + " is NULL");
}

}  // namespace imn::capi

extern "C" {

uint32_t IMN_CALL imn_abi(void) { return IMN_ABI; }

const char* IMN_CALL imn_version(void) { return IMN_VERSION; }

uint64_t IMN_CALL imn_message(char* to, uint64_t n) {
  const std::string& text = imn::capi::last_message;
  if (to != nullptr && n > 0) {
    const std::size_t copied = std::min<std::size_t>(static_cast<std::size_t>(n) - 1, text.size());
    std::memcpy(to, text.data(), copied);
    to[copied] = '\0';
  }
  return text.size() + 1;
}

}  // extern "C"
