# What runs a bundle's TensorRT engines, built and tested on stand-ins for TensorRT and CUDA, whether or not this build has
# the SDK: the library's objects, but those that use the SDK from here.
add_library(tensorrt_stand_in OBJECT tensorrt_sdk/cuda.cpp tensorrt_sdk/nvinfer.cpp
  ../src/tensorrt/tensorrt_engine.cpp ../src/tensorrt/cuda_device.cpp)
target_include_directories(tensorrt_stand_in PUBLIC tensorrt_sdk/include tensorrt_sdk ../src ../include)
target_compile_definitions(tensorrt_stand_in PUBLIC CAVSYNC_TENSORRT_RUNTIME="tensorrt")
target_link_libraries(tensorrt_stand_in PUBLIC cavsync_settings ONNXRuntime::ONNXRuntime nlohmann_json::nlohmann_json
  OpenSSL::Crypto PkgConfig::SCALE ${CMAKE_DL_LIBS})
foreach(program tensorrt_test tensorrt_choice_test tensorrt_open)
  add_executable(${program} ${program}.cpp
    "$<FILTER:$<TARGET_OBJECTS:cavsync_objects>,EXCLUDE,/(tensorrt_absent|tensorrt_engine|cuda_device)[.]cpp>")
  target_link_libraries(${program} PRIVATE tensorrt_stand_in Threads::Threads)
endforeach()
add_test(NAME tensorrt COMMAND tensorrt_test ${CMAKE_CURRENT_BINARY_DIR}/tensorrt)
add_test(NAME tensorrt_choice COMMAND tensorrt_choice_test ${CMAKE_CURRENT_BINARY_DIR}/tensorrt_choice)
# tests/native compares it with the Python package.
set_target_properties(tensorrt_open PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/..)
