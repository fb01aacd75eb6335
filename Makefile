# make demo           create .venv, build, then simulate a section, pick its channels and write a report
# make test           add the development tools to .venv and run the tests, in one process per core
# make test-long      also run the long forms of tests: published network sizes, kernels at full resolution
# make test-cluster   run the tests of cohorts on Ray, S3 and Snakemake (installs them)
# make lint           check with ruff, mypy and clang-format, and that the type stubs are current
# make stubs          write the type stubs of the native modules
# make format         fix what ruff and clang-format can fix
# make bench          run the benchmarks next to other packages (installs them)
# make core PRESET=P  rebuild the extension in .venv with preset P: debug, asan, tsan or release (CMakePresets.json)
# make abi-report     report changes of the C interface since BASE, the last version by default (needs abidiff)
# make bare-root      build the library in a root without Python and OpenVINO, and pick there (as root; needs debootstrap)
# make sanitize       run the tests of the C interface with ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer
# make sweep          put faults into 200 simulated sections and look for wrong picks in silence
# make windows        cross-compile the library for Windows and compare its picks under Wine with Linux's
# make tidy           check the core library with clang-tidy
# make sdist wheels   build what a release uploads into dist/; wheels need Docker
# make device-bundle  pack the dependencies for a GPU machine without network access (docs/maintainers/gpu.md)
# make clean          remove .venv and everything built
# make help           print this list
#
# CUDA files are built where nvcc is found (IMN_WITH_CUDA=OFF leaves them out), for two architectures only, because each
# costs compile time; `pip install .` builds for all.
PYTHON ?= python3
VENV ?= .venv
IMN_WERROR ?= OFF
IMN_WITH_CUDA ?= AUTO
IMN_CUDA_ARCHITECTURES ?= 80-real;90-real
DEMO_OUT ?= demo-out
PRESET ?= debug

# Test processes, eight at most; 0 runs the tests in one process, as a debugger needs.
TEST_JOBS ?= auto

bin := $(VENV)/bin
# Stamps of what is installed; other warning flags make another build.
base := $(VENV)/.base-werror-$(IMN_WERROR)
dev := $(VENV)/.dev-werror-$(IMN_WERROR)
cluster_env := $(VENV)/.cluster-werror-$(IMN_WERROR)
bench_env := $(VENV)/.bench-werror-$(IMN_WERROR)
stamps := $(VENV)/.base-* $(VENV)/.dev-* $(VENV)/.bench-* $(VENV)/.cluster-*
pip := $(bin)/python -m pip --disable-pip-version-check
# setuptools builds packages published as source only (a dependency of pyimzML), also without isolation.
build_requires := scikit-build-core pybind11 cmake ninja openvino setuptools
native := CMakeLists.txt pyproject.toml constraints.txt $(shell find csrc cmake -type f)
cxx_sources := $(shell find csrc examples tests/capi -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu')
# The native test hooks (_core_testing) and the library for C and C++ are built for tests and benchmarks only.
testing := OFF
$(dev) $(cluster_env) $(bench_env): testing := ON
# Without isolation, the build uses cmake and ninja from the environment.
install = PATH="$(abspath $(bin)):$$PATH" $(pip) install -q -c constraints.txt --no-build-isolation \
	-C cmake.define.IMN_WERROR=$(IMN_WERROR) -C cmake.define.IMN_WITH_CUDA=$(IMN_WITH_CUDA) \
	-C 'cmake.define.IMN_CUDA_ARCHITECTURES=$(IMN_CUDA_ARCHITECTURES)' \
	-C cmake.define.IMN_BUILD_TESTING=$(testing) -C cmake.define.IMN_BUILD_LIBRARY=$(testing) -e

pytest = $(bin)/python -m pytest -n $(TEST_JOBS) --maxprocesses 8 --dist worksteal

.PHONY: demo test test-long test-cluster abi-report bare-root sanitize sweep windows lint stubs format bench core tidy sdist wheels device-bundle clean help

demo: $(base)
	$(bin)/ionmorphnet demo -o $(DEMO_OUT)

test: $(dev)
	$(pytest) -m "not long"

test-long: $(dev)
	$(pytest)

# One process: the tests start clusters and servers of their own.
test-cluster: $(cluster_env)
	$(bin)/python -m pytest tests/python/test_cohort_ray.py tests/python/test_cohort_s3.py tests/python/test_pipelines.py

lint: $(dev)
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/python scripts/make_stubs.py --check
	$(bin)/clang-format --dry-run -Werror $(cxx_sources)

stubs: $(dev)
	$(bin)/python scripts/make_stubs.py

format: $(dev)
	$(bin)/ruff check --fix .
	$(bin)/ruff format .
	$(bin)/clang-format -i $(cxx_sources)

windows: $(dev)
	scripts/windows.sh

abi-report:
	$(PYTHON) scripts/abi_report.py $(BASE)

bare-root: $(dev)
	$(bin)/python scripts/bare_root.py

sanitize: $(dev)
	PATH="$(abspath $(bin)):$$PATH" $(bin)/python scripts/sanitize.py

sweep: $(dev)
	$(bin)/python scripts/sweep_for_silence.py

bench: $(bench_env)
	$(bin)/python -m benchmarks

# The stamps go, so that the next `make demo`, `test` or `lint` puts the regular build back.
core:
	test -x $(bin)/ionmorphnet || $(MAKE) $(base)
	$(bin)/cmake --preset $(PRESET)
	$(bin)/cmake --build --preset $(PRESET)
	$(bin)/cmake --install build/$(PRESET) --prefix "$$($(bin)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
	ln -sf build/$(PRESET)/compile_commands.json compile_commands.json
	rm -f $(stamps)

tidy: $(base)
	$(pip) install -q -c constraints.txt clang-tidy
	$(bin)/cmake --preset tidy
	$(bin)/cmake --build --preset tidy

sdist: $(base)
	$(pip) install -q -c constraints.txt build
	$(bin)/python -m build --sdist --no-isolation

wheels: | $(VENV)/bin/python
	$(pip) install -q -c constraints.txt cibuildwheel
	$(bin)/python -m cibuildwheel --platform linux --output-dir dist

device-bundle: | $(VENV)/bin/python
	$(bin)/python scripts/gpu/make_bundle.py

$(VENV)/bin/python:
	PYTHON="$(PYTHON)" scripts/system_packages.sh
	$(PYTHON) -m venv $(VENV)

$(base): $(native) | $(VENV)/bin/python
	$(pip) install -q -c constraints.txt $(build_requires)
	$(install) .
	ln -sf "$$(ls -t build/*/compile_commands.json | head -1)" compile_commands.json  # for clangd and editors
	rm -f $(stamps)  # this build replaced the ones that they stand for, and has no test module
	touch $@

$(dev): $(base)
	$(install) '.[dev]'
	touch $@

$(cluster_env): $(dev)
	$(install) '.[cluster-test]'
	touch $@

$(bench_env): $(base)
	$(install) '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist $(DEMO_OUT) device-bundle compile_commands.json

help:
	@sed -n 's/^# make/make/p' Makefile
