# Finds the header of libpq, and the library for programs that use a connection of their own. Without
# pkg-config, and without CMake's FindPostgreSQL, which wants a server's headers too. Defines Libpq::libpq.
find_path(LIBPQ_INCLUDE_DIR libpq-fe.h PATH_SUFFIXES postgresql pgsql)
find_library(LIBPQ_LIBRARY pq)
mark_as_advanced(LIBPQ_INCLUDE_DIR LIBPQ_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libpq REQUIRED_VARS LIBPQ_LIBRARY LIBPQ_INCLUDE_DIR)

if(Libpq_FOUND AND NOT TARGET Libpq::libpq)
  add_library(Libpq::libpq UNKNOWN IMPORTED)
  set_target_properties(Libpq::libpq PROPERTIES IMPORTED_LOCATION ${LIBPQ_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${LIBPQ_INCLUDE_DIR})
endif()
