# One CMake library a folder. Objects of the compiler's folders are gathered into one shared library (libFovea), because
# TypeIDs of dialects must agree between tools and plugins.

separate_arguments(FOVEA_LLVM_DEFINITIONS NATIVE_COMMAND "${LLVM_DEFINITIONS}")
set(FOVEA_WARNINGS -Wall -Wextra -Wno-unused-parameter)
set_property(GLOBAL PROPERTY FOVEA_COMPILER_LIBRARIES)

# fovea_library(name SOURCES a.cpp ... [LINK x ...]): a folder without MLIR.
function(fovea_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} OBJECT ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/runtime/include)
  target_compile_options(${name} PRIVATE ${FOVEA_WARNINGS} -fno-exceptions)
  target_link_libraries(${name} PUBLIC fmt::fmt-header-only ${ARG_LINK})
  set_property(GLOBAL APPEND PROPERTY FOVEA_COMPILER_LIBRARIES ${name})
endfunction()

# fovea_mlir_library(name SOURCES ... [LINK ...] [DEPENDS tablegen-targets]): a folder that uses MLIR; shares one precompiled header.
function(fovea_mlir_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  fovea_library(${name} SOURCES ${ARG_SOURCES} LINK ${ARG_LINK})
  fovea_use_mlir(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

function(fovea_use_mlir target)
  target_include_directories(${target} SYSTEM PUBLIC ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
  target_compile_definitions(${target} PUBLIC ${FOVEA_LLVM_DEFINITIONS})
  target_compile_options(${target} PRIVATE -fno-exceptions -Wno-deprecated-declarations)
  get_target_property(type ${target} TYPE) # executables are compiled as PIE, which the precompiled header is not
  if(FOVEA_PCH AND NOT ${target} STREQUAL FoveaPch AND NOT type STREQUAL EXECUTABLE)
    target_precompile_headers(${target} REUSE_FROM FoveaPch)
  endif()
endfunction()

option(FOVEA_PCH "Precompile MLIR's headers" ON)
if(FOVEA_PCH)
  file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "")
  add_library(FoveaPch OBJECT ${CMAKE_BINARY_DIR}/pch.cpp)
  target_include_directories(FoveaPch PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/runtime/include)
  target_compile_options(FoveaPch PRIVATE ${FOVEA_WARNINGS} -fno-exceptions)
  target_link_libraries(FoveaPch PUBLIC fmt::fmt-header-only)
  fovea_use_mlir(FoveaPch)
  target_precompile_headers(FoveaPch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
endif()
