# What every target of the project is compiled with. Layers are kept apart by their include paths:
# core sees include/ and itself, a backend, the command and the examples see include/ alone.

# What a build is instrumented with, whoever links it has to be linked with too.
set(idem_instrument "")
if(IDEM_SANITIZE)
  list(APPEND idem_instrument -fsanitize=${IDEM_SANITIZE})
endif()
if(IDEM_COVERAGE)
  list(APPEND idem_instrument --coverage)
endif()
list(JOIN idem_instrument " " idem_instrument_words)
set(IDEM_INSTRUMENT "${idem_instrument_words}" CACHE INTERNAL "Flags for programs that link this build")

# gcc makes `rep stos` of every small memset() on x86, whose start alone takes as long as the whole
# of 150 bytes written one after the other; a call has a dozen of them.
include(CheckCCompilerFlag)
set(idem_block_flags -mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign
  -mmemcpy-strategy=unrolled_loop:256:noalign,libcall:-1:noalign)
check_c_compiler_flag("${idem_block_flags}" IDEM_HAS_BLOCK_FLAGS)
if(NOT IDEM_HAS_BLOCK_FLAGS)
  set(idem_block_flags "")
endif()

# What makes an attacker's work harder if there is a fault after all: checked copies, guarded stacks, branches to
# where they may lead, addresses bound and made read-only before main(). A package's own flags stay in front.
# A sanitizer has checks of its own, and misses some where these change the layout of a stack.
option(IDEM_HARDEN "Compile and link with what the compiler has against the abuse of faults" ON)
include(CheckLinkerFlag)
include(CheckPIESupported)
check_pie_supported()
set(idem_harden_compile "")
set(idem_harden_link "")
if(IDEM_HARDEN AND NOT IDEM_SANITIZE)
  foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
    string(MAKE_C_IDENTIFIER "IDEM_HAS${flag}" has)
    check_c_compiler_flag("-Werror ${flag}" ${has})
    if(${has})
      list(APPEND idem_harden_compile ${flag})
    endif()
  endforeach()
  # It needs an optimised build.
  list(APPEND idem_harden_compile
    $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE$<SEMICOLON>-D_FORTIFY_SOURCE=2>)
  check_linker_flag(C "-Wl,-z,relro,-z,now" IDEM_HAS_FULL_RELRO)
  if(IDEM_HAS_FULL_RELRO)
    list(APPEND idem_harden_link "LINKER:-z,relro,-z,now")
  endif()
endif()

# Sets language level, warnings and instruments of one target.
function(idem_target_defaults target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
    CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(${target} PRIVATE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    $<$<BOOL:${IDEM_WERROR}>:-Werror>)
  target_compile_options(${target} PRIVATE ${idem_instrument} 
    $<$<AND:$<COMPILE_LANGUAGE:C>,$<NOT:$<CONFIG:Debug>>>:${idem_block_flags}>)
  target_compile_options(${target} PRIVATE ${idem_harden_compile})
  target_link_options(${target} PUBLIC ${idem_instrument})
  target_link_options(${target} PRIVATE ${idem_harden_link})
  if(IDEM_SANITIZE)
    target_compile_options(${target} PRIVATE -fno-sanitize-recover=all -fno-omit-frame-pointer)
  endif()
  if(IDEM_COVERAGE) # threads count together
    target_compile_options(${target} PRIVATE -fprofile-abs-path -fprofile-update=atomic)
    target_compile_definitions(${target} PRIVATE IDEM_COVERAGE=1)
  endif()
  if(IDEM_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_options(${target} PUBLIC -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# idem_add_layer(NAME sources…): one layer of the library, as objects.
function(idem_add_layer name)
  add_library(${name} OBJECT ${ARGN})
  idem_target_defaults(${name})
  set_property(GLOBAL APPEND PROPERTY IDEM_LAYERS ${name})
endfunction()

# idem_add_program(NAME sources…): a program on the public headers, linked with the static library, or with the one
# that the variable idem_program_library names.
function(idem_add_program name)
  if(NOT idem_program_library)
    set(idem_program_library idem_static)
  endif()
  add_executable(${name} ${ARGN})
  idem_target_defaults(${name})
  target_link_libraries(${name} PRIVATE ${idem_program_library})
endfunction()
