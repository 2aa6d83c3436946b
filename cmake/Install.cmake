# `cmake --install`: tools, the compiler as a shared library with its headers and a CMake package, the runtime.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(foveaIncludeDir ${CMAKE_INSTALL_INCLUDEDIR}/fovea-compiler)
target_include_directories(Fovea INTERFACE $<INSTALL_INTERFACE:${foveaIncludeDir}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# Tools find the library beside them, wherever the package is put.
set_target_properties(fovea fovea-opt PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${LLVM_LIBRARY_DIR}")
set_target_properties(Fovea PROPERTIES INSTALL_RPATH "${LLVM_LIBRARY_DIR}")
install(TARGETS Fovea EXPORT FoveaTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS fovea fovea-opt RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/dialects ${CMAKE_SOURCE_DIR}/compiler DESTINATION ${foveaIncludeDir}
        FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "*.td")
install(DIRECTORY ${CMAKE_BINARY_DIR}/dialects ${CMAKE_BINARY_DIR}/compiler DESTINATION ${foveaIncludeDir}
        FILES_MATCHING PATTERN "*.inc" PATTERN "CMakeFiles" EXCLUDE)
install(EXPORT FoveaTargets NAMESPACE Fovea:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Fovea)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/FoveaConfig.cmake.in ${CMAKE_BINARY_DIR}/FoveaConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Fovea)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/FoveaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/FoveaConfig.cmake ${CMAKE_BINARY_DIR}/FoveaConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Fovea)
