# Whether the engine OpenVINO is built, by CAVSYNC_OPENVINO (AUTO, ON or OFF): CAVSYNC_HAS_OPENVINO, with a line that
# says why. OpenVINO_DIR is the folder of its OpenVINOConfig.cmake: a release's, or `cmake` in the Python package.
set(CAVSYNC_HAS_OPENVINO OFF)
if(CAVSYNC_OPENVINO STREQUAL "AUTO" AND CAVSYNC_SANITIZE)
  set(openvino_reason "off, not in builds with sanitizers, which its library is not built for (ON takes it in)")
elseif(CAVSYNC_OPENVINO STREQUAL "AUTO" AND SKBUILD)
  set(openvino_reason "off, a Python wheel carries libcavsync alone (ON takes it in)")
elseif(CAVSYNC_OPENVINO STREQUAL "AUTO" OR CAVSYNC_OPENVINO)
  # Its package takes a version for that major version only.
  find_package(OpenVINO CONFIG QUIET COMPONENTS Runtime)
  if(OpenVINO_FOUND AND OpenVINO_VERSION VERSION_GREATER_EQUAL 2024)
    set(CAVSYNC_HAS_OPENVINO ON)
    set(openvino_reason "on, ${OpenVINO_VERSION} from ${OpenVINO_DIR}")
  else()
    set(openvino_reason
      "off, 2024 or newer was not found: give the folder of its OpenVINOConfig.cmake as -DOpenVINO_DIR")
  endif()
  if(NOT CAVSYNC_HAS_OPENVINO AND NOT CAVSYNC_OPENVINO STREQUAL "AUTO")
    message(FATAL_ERROR "CAVSYNC_OPENVINO is ON and OpenVINO 2024 or newer was not found: give the folder of its "
      "OpenVINOConfig.cmake as -DOpenVINO_DIR, or set CAVSYNC_OPENVINO to AUTO or OFF")
  endif()
else()
  set(openvino_reason "off, by CAVSYNC_OPENVINO")
endif()
message(STATUS "cavsync: engine OpenVINO: ${openvino_reason}")
