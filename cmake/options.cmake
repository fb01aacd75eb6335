option(IMN_WITH_PYTHON "Build the Python modules (needs Python, pybind11 and, unless switched off, OpenVINO)" ON)
option(IMN_WITH_OPENVINO "Build the OpenVINO scorer of the Python modules (needs the openvino wheel or package)" ON)
option(IMN_WERROR "Treat compiler warnings as errors" OFF)
set(IMN_SANITIZE "" CACHE STRING "Sanitizers for a developer build, for example 'address,undefined' or 'thread'")
set(IMN_WITH_CUDA AUTO CACHE STRING "Build the CUDA files: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE IMN_WITH_CUDA PROPERTY STRINGS AUTO ON OFF)
# Turing, Ampere, Ada, Hopper, Blackwell. 90 and 120 also as PTX, which compute capability 10.x and 11.x (B200, Thor) and
# later devices translate.
set(IMN_CUDA_ARCHITECTURES "75-real;80-real;89-real;90;120" CACHE STRING "Compute capabilities to compile for")
# Python builds (pip install, wheels) leave the test hooks out; `make test` and a plain CMake build of a developer do not.
if(DEFINED SKBUILD)
  set(imn_build_testing_default OFF)
else()
  set(imn_build_testing_default ON)
endif()
option(IMN_BUILD_TESTING "Build and install _core_testing, the native hooks of the tests" ${imn_build_testing_default})
# The library for C and C++ (docs/guide/embedding.md).
if(IMN_WITH_PYTHON)
  set(imn_build_library_default OFF)
else()
  set(imn_build_library_default ON)
endif()
option(IMN_BUILD_LIBRARY "Build and install the library ionmorphnet for C and C++" ${imn_build_library_default})
