# Which parts are built: sets idem_build_cli, idem_build_examples, idem_build_testkit, idem_build_tests, and idem_kinds, the kinds of
# library, the one behind idem::idem first.
#
#   IDEM_BUILD_CLI, IDEM_BUILD_EXAMPLES, IDEM_BUILD_TESTKIT, IDEM_BUILD_TESTS
#     ON: built, and what is missing for it is an error. OFF: not built. Not set: built in a checkout of its own if
#     the machine has what it needs; never as a part of another project.
#   BUILD_SHARED_LIBS
#     as a part of another project: ON: idem::idem is the shared library; else the static one.
include_guard(DIRECTORY)

find_path(JANSSON_INCLUDE_DIR jansson.h)
find_library(JANSSON_LIBRARY jansson)
mark_as_advanced(JANSSON_INCLUDE_DIR JANSSON_LIBRARY)

set(idem_missing_jansson "")
if(NOT JANSSON_INCLUDE_DIR OR NOT JANSSON_LIBRARY)
  set(idem_missing_jansson "jansson (libjansson-dev)")
endif()

set(idem_missing_check "")
if(PROJECT_IS_TOP_LEVEL OR IDEM_BUILD_TESTS)
  find_package(PkgConfig QUIET)
  if(NOT PKG_CONFIG_FOUND)
    set(idem_missing_check "pkg-config")
  else()
    pkg_check_modules(CHECK QUIET IMPORTED_TARGET check)
    if(NOT CHECK_FOUND)
      set(idem_missing_check "check")
    endif()
  endif()
endif()

# idem_decide(RESULT OPTION WHAT MISSING…): whether to build a part that these packages are missing for.
function(idem_decide result option what)
  list(REMOVE_ITEM ARGN "")
  list(JOIN ARGN ", " missing)
  if(DEFINED ${option})
    if(${option} AND missing)
      message(FATAL_ERROR "${option} is ON, and ${missing} is missing for ${what}: install it, or turn the option off")
    endif()
    set(${result} ${${option}} PARENT_SCOPE)
  elseif(NOT PROJECT_IS_TOP_LEVEL)
    set(${result} OFF PARENT_SCOPE)
  elseif(missing)
    message(STATUS "Left out: ${what}, for want of ${missing}")
    set(${result} OFF PARENT_SCOPE)
  else()
    set(${result} ON PARENT_SCOPE)
  endif()
endfunction()

idem_decide(idem_build_cli IDEM_BUILD_CLI "the idem command" "${idem_missing_jansson}")
idem_decide(idem_build_examples IDEM_BUILD_EXAMPLES "the examples" "${idem_missing_jansson}")
idem_decide(idem_build_testkit IDEM_BUILD_TESTKIT "the test kit")
set(idem_missing_testkit "")
if(NOT idem_build_testkit)
  set(idem_missing_testkit "the test kit (IDEM_BUILD_TESTKIT)")
endif()
if(DEFINED BUILD_TESTING AND NOT BUILD_TESTING AND NOT DEFINED IDEM_BUILD_TESTS)
  set(idem_build_tests OFF)
else()
  idem_decide(idem_build_tests IDEM_BUILD_TESTS "the tests" "${idem_missing_check}" "${idem_missing_jansson}" "${idem_missing_testkit}")
endif()

if(PROJECT_IS_TOP_LEVEL)
  set(idem_kinds SHARED STATIC)
elseif(BUILD_SHARED_LIBS)
  set(idem_kinds SHARED)
else()
  set(idem_kinds STATIC)
endif()
