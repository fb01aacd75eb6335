# make demo   environment, build, then: simulate a section, pick its channels, write a report
# make test   the same set-up with the development tools, then all tests
# make lint   ruff, mypy, clang-format
# make bench  benchmarks side by side with peers (installs them)
# make device-bundle  what a GPU machine without a package registry needs (docs/maintainers/gpu.md)
#
# Where nvcc is found the CUDA files are built too (IMN_WITH_CUDA=OFF leaves them out), here for two architectures only:
# each costs compile time, and the package itself (pip install .) is built for all.
PYTHON ?= python3
VENV ?= .venv
IMN_WERROR ?= OFF
IMN_WITH_CUDA ?= AUTO
IMN_CUDA_ARCHITECTURES ?= 80-real;90-real
DEMO_OUT ?= demo-out

bin := $(VENV)/bin
# Stamps of what has been installed; a build with other warning flags is another build.
base := $(VENV)/.base-werror-$(IMN_WERROR)
dev := $(VENV)/.dev-werror-$(IMN_WERROR)
bench_env := $(VENV)/.bench-werror-$(IMN_WERROR)
pip := $(bin)/python -m pip --disable-pip-version-check
# setuptools: what comes as source only (pyimzML needs such a package) is built without isolation too.
build_requires := scikit-build-core pybind11 cmake ninja openvino setuptools
native := CMakeLists.txt pyproject.toml constraints.txt $(shell find csrc cmake -type f)
cxx_sources := $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu')
# cmake and ninja come from the environment: the build runs inside it, without isolation.
install = PATH="$(abspath $(bin)):$$PATH" $(pip) install -q -c constraints.txt --no-build-isolation \
	-C cmake.define.IMN_WERROR=$(IMN_WERROR) -C cmake.define.IMN_WITH_CUDA=$(IMN_WITH_CUDA) \
	-C 'cmake.define.IMN_CUDA_ARCHITECTURES=$(IMN_CUDA_ARCHITECTURES)' -e

.PHONY: demo test lint format bench device-bundle clean

demo: $(base)
	$(bin)/ionmorphnet demo -o $(DEMO_OUT)

test: $(dev)
	$(bin)/python -m pytest

lint: $(dev)
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/clang-format --dry-run -Werror $(cxx_sources)

format: $(dev)
	$(bin)/ruff check --fix .
	$(bin)/ruff format .
	$(bin)/clang-format -i $(cxx_sources)

bench: $(bench_env)
	$(bin)/python -m benchmarks

device-bundle: | $(VENV)/bin/python
	$(bin)/python scripts/gpu/make_bundle.py

$(VENV)/bin/python:
	PYTHON="$(PYTHON)" scripts/system_packages.sh
	$(PYTHON) -m venv $(VENV)

$(base): $(native) | $(VENV)/bin/python
	$(pip) install -q -c constraints.txt $(build_requires)
	$(install) .
	touch $@

$(dev): $(base)
	$(install) '.[dev]'
	touch $@

$(bench_env): $(base)
	$(install) '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build $(DEMO_OUT) device-bundle
