# The Python modules: _core, and _core_testing with the native hooks of the tests.

# OpenVINO's C++ interface is for Python only: the library loads engines at run time.
add_library(imn_openvino STATIC)
target_link_libraries(imn_openvino PUBLIC imn_core PRIVATE imn_warnings)
if(IMN_WITH_OPENVINO)
  include(cmake/openvino.cmake)
  file(GLOB imn_openvino_sources CONFIGURE_DEPENDS csrc/score/openvino_*.cpp)
  target_sources(imn_openvino PRIVATE ${imn_openvino_sources})
  target_link_libraries(imn_openvino PRIVATE openvino::runtime)
else()
  target_sources(imn_openvino PRIVATE csrc/score/no_openvino.cpp)
endif()

# Both modules link what turns Python objects into calls of the core.
file(GLOB imn_binding_sources CONFIGURE_DEPENDS csrc/bindings/*.cpp)
list(FILTER imn_binding_sources EXCLUDE REGEX "/module\\.cpp$")
add_library(imn_bindings STATIC ${imn_binding_sources})
target_link_libraries(imn_bindings PUBLIC imn_core imn_openvino pybind11::module PRIVATE imn_warnings)
target_compile_definitions(imn_bindings PUBLIC IMN_VERSION="${PROJECT_VERSION}")

function(imn_add_module name)
  pybind11_add_module(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE imn_bindings imn_warnings)
  set_target_properties(${name} PROPERTIES
    LINKER_LANGUAGE CXX
    BUILD_RPATH_USE_ORIGIN ON
    INSTALL_RPATH "$ORIGIN/../openvino/libs"
    INSTALL_RPATH_USE_LINK_PATH OFF)
  install(TARGETS ${name} LIBRARY DESTINATION ionmorphnet COMPONENT python)
endfunction()

imn_add_module(_core csrc/bindings/module.cpp)
if(IMN_BUILD_TESTING)
  file(GLOB imn_testing_sources CONFIGURE_DEPENDS csrc/testing/*.cpp)
  imn_add_module(_core_testing ${imn_testing_sources})
endif()
