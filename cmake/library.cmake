# The library for C and C++: shared and static, with its engine plug-ins, and everything that `cmake --install` puts
# beside it. docs/guide/embedding.md.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The number in IMN_ABI of ionmorphnet.h.
file(STRINGS csrc/capi/include/ionmorphnet.h imn_abi_line REGEX "^#define IMN_ABI [0-9]+u")
string(REGEX REPLACE "[^0-9]" "" imn_abi "${imn_abi_line}")

file(GLOB imn_capi_sources CONFIGURE_DEPENDS csrc/capi/*.cpp)
add_library(imn_capi OBJECT ${imn_capi_sources})
target_include_directories(imn_capi PUBLIC
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/csrc/capi/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_definitions(imn_capi PRIVATE IMN_BUILDING IMN_VERSION="${PROJECT_VERSION}")
target_link_libraries(imn_capi PRIVATE imn_core imn_warnings)

add_library(ionmorphnet SHARED)
add_library(ionmorphnet_static STATIC $<TARGET_OBJECTS:imn_core>)
foreach(library ionmorphnet ionmorphnet_static)
  target_sources(${library} PRIVATE $<TARGET_OBJECTS:imn_capi>)
  target_include_directories(${library} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/csrc/capi/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
set_target_properties(ionmorphnet PROPERTIES
  VERSION ${imn_abi}.${PROJECT_VERSION} SOVERSION ${imn_abi} LINKER_LANGUAGE CXX)
target_link_libraries(ionmorphnet PRIVATE imn_core imn_warnings)
set_target_properties(ionmorphnet_static PROPERTIES
  OUTPUT_NAME $<IF:$<BOOL:${WIN32}>,ionmorphnet_static,ionmorphnet> LINKER_LANGUAGE CXX EXPORT_NAME static)
target_compile_definitions(ionmorphnet_static INTERFACE IMN_STATIC)
target_link_libraries(ionmorphnet_static PUBLIC Threads::Threads ZLIB::ZLIB EXPAT::EXPAT ${CMAKE_DL_LIBS})
if(IMN_CUDA_BUILT)
  target_link_libraries(ionmorphnet_static PUBLIC CUDA::cudart_static)
endif()
add_library(ionmorphnet::ionmorphnet ALIAS ionmorphnet)
add_library(ionmorphnet::static ALIAS ionmorphnet_static)
if(UNIX AND NOT APPLE)
  # Nothing but the C interface leaves the library, and it is never unloaded: its threads would lose their code.
  target_link_options(ionmorphnet PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cmake/ionmorphnet.map -Wl,--exclude-libs,ALL -Wl,-z,nodelete
    -Wl,--no-undefined)
  set_target_properties(ionmorphnet PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cmake/ionmorphnet.map)
endif()

# Engine plug-ins know the C interface only, and load their engine at run time.
foreach(engine openvino onnxruntime)
  add_library(imn_engine_${engine} MODULE csrc/engines/${engine}_plugin.cpp csrc/core/shared_library.cpp)
  target_include_directories(imn_engine_${engine} PRIVATE csrc)
  target_compile_definitions(imn_engine_${engine} PRIVATE IMN_STATIC)
  target_link_libraries(imn_engine_${engine} PRIVATE imn_warnings Threads::Threads ${CMAKE_DL_LIBS})
  set_target_properties(imn_engine_${engine} PROPERTIES PREFIX "")
  if(UNIX AND NOT APPLE)
    target_link_options(imn_engine_${engine} PRIVATE
      -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cmake/engine.map -Wl,--exclude-libs,ALL -Wl,-z,nodelete
      -Wl,--no-undefined)
  endif()
endforeach()
if(MINGW)
  # No DLLs of the compiler beside ours.
  foreach(library ionmorphnet imn_engine_openvino imn_engine_onnxruntime)
    target_link_options(${library} PRIVATE -static)
  endforeach()
endif()

set(imn_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ionmorphnet)
set(imn_share_dir ${CMAKE_INSTALL_DATADIR}/ionmorphnet)
if(WIN32)
  set(imn_engine_dir ${CMAKE_INSTALL_BINDIR})
else()
  set(imn_engine_dir ${CMAKE_INSTALL_LIBDIR}/ionmorphnet/engines)
endif()
install(TARGETS ionmorphnet ionmorphnet_static EXPORT ionmorphnet COMPONENT library
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS imn_engine_openvino imn_engine_onnxruntime LIBRARY DESTINATION ${imn_engine_dir} COMPONENT library)
install(DIRECTORY csrc/capi/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(DIRECTORY python/ionmorphnet/models/bundled/ DESTINATION ${imn_share_dir}/models COMPONENT library)
install(FILES LICENSE DESTINATION ${imn_share_dir}/licenses COMPONENT library)
install(EXPORT ionmorphnet NAMESPACE ionmorphnet:: DESTINATION ${imn_config_dir} COMPONENT library
  FILE ionmorphnetTargets.cmake)
configure_package_config_file(cmake/ionmorphnetConfig.cmake.in ionmorphnetConfig.cmake
  INSTALL_DESTINATION ${imn_config_dir})
write_basic_package_version_file(ionmorphnetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ionmorphnetConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/ionmorphnetConfigVersion.cmake DESTINATION ${imn_config_dir} COMPONENT library)
configure_file(cmake/ionmorphnet.pc.in ionmorphnet.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ionmorphnet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT library)
