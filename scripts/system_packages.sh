#!/usr/bin/env bash
# Checks what pip cannot bring: a C++20 compiler, the zlib and expat headers, Python's venv. Names what is missing and
# the command that installs it; as root on Debian or Ubuntu it installs them.
set -euo pipefail
python=${PYTHON:-python3}
missing=()
packages=()

need() { missing+=("$1"); packages+=("$2"); }

compiler=${CXX:-$(command -v g++ || command -v clang++ || true)}
if [ -z "$compiler" ]; then
  need "a C++ compiler" g++
  compiler=false
fi
has_header() { echo "#include <$1>" | "$compiler" -E -x c++ - >/dev/null 2>&1; }
has_header zlib.h || need "the zlib headers (zlib.h)" zlib1g-dev
has_header expat.h || need "the expat headers (expat.h)" libexpat1-dev
"$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module" python3-venv
"$python" -c 'import sys, sysconfig, pathlib; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' \
  || need "the Python headers (Python.h)" python3-dev
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || { echo "Python 3.11 or newer is needed; $python is $("$python" --version). Set PYTHON=..." >&2; exit 1; }

[ ${#missing[@]} -eq 0 ] && exit 0
printf 'missing: %s\n' "${missing[@]}" >&2
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${packages[*]}" >&2
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
else
  echo "Debian/Ubuntu: sudo apt-get install ${packages[*]}" >&2
  echo "Fedora: sudo dnf install gcc-c++ zlib-devel expat-devel python3-devel   macOS: xcode-select --install; brew install zlib expat" >&2
  exit 1
fi
