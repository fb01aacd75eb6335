#!/usr/bin/env bash
# Checks for what pip cannot install: a C++20 compiler, the headers of zlib, expat and nlohmann-json, Python's venv.
# Names what is missing and the command that installs it; as root on Debian or Ubuntu it installs the packages.
set -euo pipefail
python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "Python 3.11 or newer is required; $python was not found. Set PYTHON=..." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || { echo "Python 3.11 or newer is required; $python is $("$python" --version). Set PYTHON=..." >&2; exit 1; }
python_package=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

# Fills missing[] (for people) and packages[] (Debian names).
check() {
  missing=() packages=()
  local compiler=${CXX:-$(command -v g++ || command -v clang++ || true)}
  if [ -z "$compiler" ]; then
    missing+=("a C++ compiler") packages+=(g++)
  elif ! echo '#if __cplusplus < 202002L
#error
#endif' | $compiler -std=c++20 -E -x c++ - >/dev/null 2>&1; then
    missing+=("a C++ compiler with C++20 (g++ 11 or newer, clang 14 or newer); $compiler is too old") packages+=(g++)
  fi
  local name
  for name in zlib.h:zlib1g-dev expat.h:libexpat1-dev nlohmann/json.hpp:nlohmann-json3-dev; do
    echo "#include <${name%%:*}>" | ${compiler:-false} -std=c++20 -E -x c++ - >/dev/null 2>&1 && continue
    missing+=("the header ${name%%:*}") packages+=("${name##*:}")
  done
  "$python" -c 'import ensurepip, venv' 2>/dev/null || { missing+=("Python's venv module"); packages+=("$python_package-venv"); }
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
    || { missing+=("the Python headers"); packages+=("$python_package-dev"); }
}

check
[ ${#missing[@]} -eq 0 ] && exit 0
printf 'missing: %s\n' "${missing[@]}" >&2
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${packages[*]}" >&2
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
  check
  [ ${#missing[@]} -eq 0 ] && exit 0
  printf 'still missing: %s\n' "${missing[@]}" >&2
fi
echo "Debian/Ubuntu: sudo apt-get install ${packages[*]}" >&2
echo "Fedora: sudo dnf install gcc-c++ zlib-devel expat-devel json-devel python3-devel" >&2
exit 1
