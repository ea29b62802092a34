# OpenVINO in a module beside the library, which loads it on demand, with the library's objects that the engine uses.
add_library(cavsync_openvino MODULE src/openvino_module.cpp src/openvino_engine.cpp
  "$<FILTER:$<TARGET_OBJECTS:cavsync_objects>,INCLUDE,/(graph_run|plain_file|self_contained|text)[.]cpp>")
target_include_directories(cavsync_openvino PRIVATE include src)
target_link_libraries(cavsync_openvino PRIVATE cavsync_settings nlohmann_json::nlohmann_json OpenSSL::Crypto openvino::runtime)
target_link_options(cavsync_openvino PRIVATE -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cavsync.map -Wl,--no-undefined)
set_target_properties(cavsync_openvino PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cavsync.map
  CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON CXX_EXTENSIONS OFF)
add_dependencies(cavsync cavsync_openvino)
if(SKBUILD)
  install(TARGETS cavsync_openvino LIBRARY DESTINATION cavsync/deploy/lib)
else()
  install(TARGETS cavsync_openvino LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
