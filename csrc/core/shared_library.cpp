#include "core/shared_library.h"

#include <string>

#include "core/error.h"

#ifdef _WIN32
#ifndef NOMINMAX  // libstdc++ defines it for mingw
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace imn {
namespace {

std::string text_of(const std::filesystem::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

}  // namespace

#ifdef _WIN32

SharedLibrary::SharedLibrary(const std::filesystem::path& path) : path_(std::filesystem::absolute(path)) {
  // With this flag the library's own folder is searched for what it needs, and the system's only after it.
  HMODULE module = LoadLibraryExW(path_.c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
  if (module == nullptr) {
    throw UnavailableError(text_of(path_) + ": cannot be loaded (Windows error " + std::to_string(GetLastError()) +
                           ")");
  }
  handle_ = reinterpret_cast<void*>(module);
}

void* SharedLibrary::address(const char* name) const {
  FARPROC found = GetProcAddress(reinterpret_cast<HMODULE>(handle_), name);
  if (found == nullptr) throw UnavailableError(text_of(path_) + ": has no function " + name);
  return reinterpret_cast<void*>(found);
}

std::filesystem::path folder_of(const void* address) {
  HMODULE module = nullptr;
  if (GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                         static_cast<LPCWSTR>(address), &module) == 0) {
    return {};
  }
  std::wstring name(32768, L'\0');
  name.resize(GetModuleFileNameW(module, name.data(), static_cast<DWORD>(name.size())));
  return std::filesystem::path(name).parent_path();
}

#else

SharedLibrary::SharedLibrary(const std::filesystem::path& path) : path_(std::filesystem::absolute(path)) {
  handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle_ == nullptr) {
    const char* reason = dlerror();
    throw UnavailableError(text_of(path_) + ": cannot be loaded (" + (reason != nullptr ? reason : "no reason given") +
                           ")");
  }
}

void* SharedLibrary::address(const char* name) const {
  void* found = dlsym(handle_, name);
  if (found == nullptr) throw UnavailableError(text_of(path_) + ": has no function " + name);
  return found;
}

std::filesystem::path folder_of(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(info.dli_fname, error);
  return error ? std::filesystem::path{} : file.parent_path();
}

#endif

}  // namespace imn
