// Converts names passed from Python to enumerators.
#pragma once

#include <map>
#include <string>

#include "core/error.h"

namespace imn::bindings {

template <typename T>
T parse_choice(const std::string& text, const char* what, const std::map<std::string, T>& values) {
  const auto found = values.find(text);
  if (found != values.end()) return found->second;
  std::string accepted;
  for (const auto& [name, value] : values) accepted += (accepted.empty() ? "" : ", ") + name;
  throw ArgumentError(std::string(what) + " must be one of " + accepted + ", not " + text);
}

}  // namespace imn::bindings
