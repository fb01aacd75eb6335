# Finds OpenVINO in the Python wheel first: it ships headers, the CMake package and the libraries,
# and it is what the installed extension loads at run time (RPATH $ORIGIN/../openvino/libs).
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "import importlib.util as u; s = u.find_spec('openvino'); print(s.submodule_search_locations[0] if s else '')"
  OUTPUT_VARIABLE imn_openvino_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(imn_openvino_dir)
  find_package(OpenVINO QUIET COMPONENTS Runtime CONFIG PATHS "${imn_openvino_dir}/cmake" NO_DEFAULT_PATH)
endif()
if(NOT OpenVINO_FOUND)
  find_package(OpenVINO QUIET COMPONENTS Runtime CONFIG)
endif()
if(NOT OpenVINO_FOUND)
  message(FATAL_ERROR
    "OpenVINO was not found. Install it with 'pip install openvino', or build without the CPU scorer: "
    "pip install . -C cmake.define.IMN_WITH_OPENVINO=OFF")
endif()
message(STATUS "OpenVINO ${OpenVINO_VERSION} from ${OpenVINO_DIR}")
