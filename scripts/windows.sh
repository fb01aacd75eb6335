#!/usr/bin/env bash
# Cross-compiles the library for Windows with mingw-w64, and runs C tests and picks under Wine beside Linux's.
# Run by `make windows`. Needs Debian or Ubuntu packages, which it names, and network access to Debian and PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build/windows
python=$PWD/.venv/bin/python
missing=()
for pair in x86_64-w64-mingw32-g++-posix:g++-mingw-w64-x86-64-posix wine:wine \
            /usr/x86_64-w64-mingw32/include/zlib.h:libz-mingw-w64-dev /usr/include/nlohmann/json.hpp:nlohmann-json3-dev; do
  what=${pair%%:*}
  [ -e "$what" ] || command -v "$what" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "missing: apt-get install --no-install-recommends ${missing[*]} wine64" >&2
  exit 1
fi
mkdir -p "$build/root/include" "$build/sources" "$build/wheels"
export PATH="$PWD/.venv/bin:$PATH" WINEPREFIX="$build/wine" WINEDEBUG=-all

# Debian has no expat for mingw: its source, or that of IMN_EXPAT_SOURCE (a folder with CMakeLists.txt).
expat=${IMN_EXPAT_SOURCE:-}
if [ -z "$expat" ]; then
  if [ ! -e "$build/sources/expat.tar.gz" ]; then
    # The system's own package sources, asked for source packages.
    parts=$build/sources/parts
    mkdir -p "$parts" "$build/sources/lists/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
      if [ -s "$file" ]; then
        sed -E 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$file" > "$parts/$(basename "$file")"
      fi
    done
    apt="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$parts -o Dir::State::lists=$build/sources/lists -o APT::Sandbox::User=root"
    # The original source is enough: where only Debian's part of it cannot be had, apt-get fails, and mv does not.
    (cd "$build/sources" && apt-get $apt update -qq && apt-get $apt source --download-only -qq expat) || true
    mv "$build"/sources/expat_*.orig.tar.* "$build/sources/expat.tar.gz"
  fi
  rm -rf "$build/sources/expat" && mkdir "$build/sources/expat"
  tar -xf "$build/sources/expat.tar.gz" -C "$build/sources/expat"
  expat=$(dirname "$(find "$build/sources/expat" -path '*expat/CMakeLists.txt' | head -1)")
fi
toolchain="-DCMAKE_TOOLCHAIN_FILE=$PWD/cmake/mingw.cmake -DIMN_WINDOWS_ROOT=$build/root"
cmake -S "$expat" -B "$build/expat" -G Ninja $toolchain -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_INSTALL_PREFIX="$build/root" -DEXPAT_SHARED_LIBS=OFF -DEXPAT_BUILD_TOOLS=OFF -DEXPAT_BUILD_EXAMPLES=OFF \
  -DEXPAT_BUILD_TESTS=OFF -DEXPAT_BUILD_DOCS=OFF >/dev/null
cmake --build "$build/expat" >/dev/null && cmake --install "$build/expat" >/dev/null
cp -r /usr/include/nlohmann "$build/root/include/"

cmake -S . -B "$build/library" -G Ninja $toolchain -DIMN_WITH_PYTHON=OFF -DIMN_WITH_CUDA=OFF -DIMN_WERROR=ON \
  -DIMN_JSON_INCLUDE="$build/root/include" -DZLIB_USE_STATIC_LIBS=ON ${CMAKE_CXX_COMPILER_LAUNCHER:+-DCMAKE_CXX_COMPILER_LAUNCHER=$CMAKE_CXX_COMPILER_LAUNCHER}
cmake --build "$build/library"
rm -rf "$build/prefix"
cmake --install "$build/library" --prefix "$build/prefix" --component library --strip >/dev/null

# The engines' libraries for Windows, from the wheels of the versions that constraints.txt states.
for engine in openvino onnxruntime; do
  version=$(sed -n "s/^$engine==//p" constraints.txt)
  ls "$build"/wheels/"$engine-$version"-*.whl >/dev/null 2>&1 || "$python" -m pip download -q --no-deps --only-binary=:all: \
    --platform win_amd64 --python-version 311 -d "$build/wheels" "$engine==$version"
done
bin=$build/prefix/bin
unzip -qoj "$build"/wheels/openvino-*.whl openvino/libs/{openvino,openvino_c,openvino_intel_cpu_plugin,openvino_onnx_frontend,tbb12}.dll -d "$bin/openvino"
unzip -qoj "$build"/wheels/onnxruntime-*.whl onnxruntime/capi/onnxruntime.dll -d "$bin/onnxruntime"
x86_64-w64-mingw32-gcc-posix -std=c99 -I csrc/capi/include -fsyntax-only tests/capi/abi.c
for source in examples/embedding/c/pick.c tests/capi/misuse.c; do
  x86_64-w64-mingw32-gcc-posix -std=c99 -O2 -Wall -Wextra -Werror -I csrc/capi/include "$source" \
    "$build/library/libionmorphnet.dll.a" -o "$bin/$(basename "$source" .c).exe"
done
"$python" scripts/windows_check.py "$bin"
