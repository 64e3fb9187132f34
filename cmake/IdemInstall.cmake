# What `cmake --install` gives: both libraries, the headers, the command with its man pages and
# completion, libidem.pc, and a CMake package whose targets are idem::idem and idem::idem_static.
include(CMakePackageConfigHelpers)

set(idem_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/idem)

# Two lists of targets: who links the shared library needs no development files of what is in it.
foreach(kind IN LISTS idem_kinds)
  string(TOLOWER ${kind} kind)
  install(TARGETS idem_${kind} EXPORT idem_${kind}_targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT idem_${kind}_targets NAMESPACE idem:: FILE idem-${kind}-targets.cmake
    DESTINATION ${idem_package_dir})
endforeach()

# The test kit is a component of its own.
if(idem_build_testkit)
  foreach(kind IN LISTS idem_kinds)
    string(TOLOWER ${kind} kind)
    install(TARGETS idem_testkit_${kind} EXPORT idem_testkit_${kind}_targets
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT testkit NAMELINK_COMPONENT testkit
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT testkit)
    install(EXPORT idem_testkit_${kind}_targets NAMESPACE idem:: FILE idem-testkit-${kind}-targets.cmake
      DESTINATION ${idem_package_dir} COMPONENT testkit)
  endforeach()
  install(FILES include/idem/testkit.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/idem COMPONENT testkit)
endif()

set(idem_headers include/idem/idem.h include/idem/async.h include/idem/backend.h include/idem/jansson.h
  include/idem/idem.hpp)
if(IDEM_BACKEND_SQLITE)
  list(APPEND idem_headers include/idem/sqlite.h)
endif()
if(IDEM_BACKEND_POSTGRES)
  list(APPEND idem_headers include/idem/postgres.h)
endif()
install(FILES ${idem_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/idem)

configure_package_config_file(cmake/idem-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/idem-config.cmake
  INSTALL_DESTINATION ${idem_package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/idem-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/idem-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/idem-config-version.cmake DESTINATION ${idem_package_dir})
if(IDEM_BACKEND_REDIS)
  install(FILES cmake/FindHiredis.cmake DESTINATION ${idem_package_dir})
endif()

# What a static program needs besides libidem.a. By name and not as packages: pkg-config asks for those even
# where the shared library is linked.
set(IDEM_PC_LIBS "-lcrypto")
if(IDEM_BACKEND_SQLITE)
  string(APPEND IDEM_PC_LIBS " -lsqlite3")
endif()
if(IDEM_BACKEND_REDIS)
  string(APPEND IDEM_PC_LIBS " -lhiredis")
endif()
if((IDEM_REDIS_TLS OR IDEM_BACKEND_POSTGRES) AND CMAKE_DL_LIBS) # libssl and libpq are loaded by name
  string(APPEND IDEM_PC_LIBS " -l${CMAKE_DL_LIBS}")
endif()
# Relative to the file, so that it is right wherever --prefix puts it.
file(RELATIVE_PATH IDEM_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/libidem.pc.in ${CMAKE_CURRENT_BINARY_DIR}/libidem.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libidem.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(idem_build_testkit)
  configure_file(cmake/idem-testkit.pc.in ${CMAKE_CURRENT_BINARY_DIR}/idem-testkit.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/idem-testkit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT testkit)
endif()

if(idem_build_cli)
  install(TARGETS idem_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/man/idem.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES cli/completion/idem.bash RENAME idem
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
install(FILES docs/man/libidem.3 docs/man/idem_async.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
if(idem_build_testkit)
  install(FILES docs/man/idem_testkit.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT testkit)
endif()
