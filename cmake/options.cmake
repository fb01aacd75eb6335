option(IMN_WITH_OPENVINO "Build the OpenVINO CPU scorer (needs the openvino wheel or package)" ON)
option(IMN_WERROR "Treat compiler warnings as errors" OFF)
set(IMN_SANITIZE "" CACHE STRING "Sanitizers for a developer build, for example 'address,undefined' or 'thread'")
