// SharedLibrary: a library that is loaded at run time, by its full path, and stays loaded.
#pragma once

#include <filesystem>
#include <string>

namespace imn {

class SharedLibrary {
 public:
  // Throws UnavailableError with the loader's reason.
  explicit SharedLibrary(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }

  // A function of the library as a pointer of its type. Throws UnavailableError if there is none of that name.
  template <typename Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(address(name));
  }

 private:
  void* address(const char* name) const;

  std::filesystem::path path_;
  void* handle_ = nullptr;  // never closed: engines leave threads and exit handlers behind
};

// The folder of the library or program that contains this address; empty if the system does not say.
std::filesystem::path folder_of(const void* address);

}  // namespace imn
