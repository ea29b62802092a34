# How what is installed finds the library, and what lies beside it, in whatever prefix; and the folders in cavsync.pc.

# Engines that are not in the system's folders are loaded from where they were at the build. OFF is for packages.
if(NOT DEFINED CMAKE_INSTALL_RPATH_USE_LINK_PATH)
  set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
endif()

# Let targets that are installed to `destination` find libcavsync: relative to themselves, so that `cmake --install --prefix`
# may choose another prefix, unless one of the two folders is absolute.
function(cavsync_search_library destination)
  if(IS_ABSOLUTE "${destination}" OR IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(folder ${CMAKE_INSTALL_FULL_LIBDIR})
  else()
    file(RELATIVE_PATH folder /${destination} /${CMAKE_INSTALL_LIBDIR})
    string(REGEX REPLACE "/$" "" folder "$ORIGIN/${folder}")
  endif()
  set_property(TARGET ${ARGN} APPEND PROPERTY INSTALL_RPATH ${folder})
endfunction()

# Let a target find an engine that is not in the system's folders. By itself CMake leaves out what is inside the source
# tree, where `make native` lays out ONNX Runtime.
function(cavsync_search_engine target engine)
  if(CMAKE_INSTALL_RPATH_USE_LINK_PATH)
    set(folder $<TARGET_FILE_DIR:${engine}>)
    set(is_of_system "$<IN_LIST:${folder},${CMAKE_PLATFORM_IMPLICIT_LINK_DIRECTORIES}>")
    set_property(TARGET ${target} APPEND PROPERTY INSTALL_RPATH "$<$<NOT:${is_of_system}>:${folder}>")
  endif()
endfunction()

# cavsync.pc lies in CMAKE_INSTALL_LIBDIR/pkgconfig.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(CAVSYNC_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH CAVSYNC_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" CAVSYNC_PC_PREFIX "\${pcfiledir}/${CAVSYNC_PC_PREFIX}")
endif()
foreach(name LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${name}}")
    set(CAVSYNC_PC_${name} ${CMAKE_INSTALL_FULL_${name}})
  else()
    set(CAVSYNC_PC_${name} "\${prefix}/${CMAKE_INSTALL_${name}}")
  endif()
endforeach()
