#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs a build into a folder of its own, then builds and runs a program against what is there: by
# the CMake package and by pkg-config, shared and static. test_package.sh BUILD VERSION
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
build=$1
version=$2
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
prefix=$work/prefix

fail() {
  echo "test_package: $1" >&2
  exit 1
}

# An instrumented build needs the same of whoever links it.
instrument=$(sed -n 's/^IDEM_INSTRUMENT:INTERNAL=//p' "$build/CMakeCache.txt")
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
has_cli=OFF
if [ -x "$build/cli/idem" ]; then
  has_cli=ON
fi
has_sqlite=$(sed -n 's/^IDEM_BACKEND_SQLITE:BOOL=//p' "$build/CMakeCache.txt")

# Runs a program that was built against the package.
check_program() {
  set -- "$1" memory://
  if [ "$has_sqlite" = ON ]; then
    set -- "$@" "sqlite:$1.db"
  fi
  said=$("$@") || fail "$1 failed"
  [ "$said" = "$version memory" ] || fail "$1 said: $said"
}

# configure_outside OPTIONS...
configure_outside() {
  rm -rf -- "$work/outside"
  cmake -S "$here/outside" -B "$work/outside" -D CMAKE_PREFIX_PATH="$prefix" \
    -D CMAKE_C_COMPILER="$compiler" -D CMAKE_C_FLAGS="$instrument" "$@" >"$work/cmake.log" 2>&1
}

# Who links the shared library has no development files of what is in it.
without="-D CMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON -D CMAKE_DISABLE_FIND_PACKAGE_SQLite3=ON
  -D CMAKE_DISABLE_FIND_PACKAGE_Hiredis=ON"

# shellcheck disable=SC2086 # several options, split on purpose
with_cmake() {
  configure_outside "-DKINDS=idem;idem_static" || fail "find_package(idem CONFIG): $(cat "$work/cmake.log")"
  cmake --build "$work/outside" >"$work/cmake.log" 2>&1 || fail "$(cat "$work/cmake.log")"
  check_program "$work/outside/with_idem"
  check_program "$work/outside/with_idem_static"
  configure_outside -D KINDS=idem $without || fail "the shared library alone: $(cat "$work/cmake.log")"
  cmake --build "$work/outside" >"$work/cmake.log" 2>&1 || fail "$(cat "$work/cmake.log")"
  check_program "$work/outside/with_idem"
  if configure_outside -D KINDS=idem_static $without; then
    fail "the static library was found without what it needs"
  fi
}

# The flags are words, split on purpose.
# shellcheck disable=SC2046,SC2086
with_pkg_config() {
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name libidem.pc)")
  export PKG_CONFIG_PATH
  [ "$(pkg-config --modversion libidem)" = "$version" ] || fail "libidem.pc has another version"
  PKG_CONFIG_LIBDIR=$work/none pkg-config --cflags --libs libidem >"$work/flags" 2>&1 ||
    fail "pkg-config wants more than libidem.pc: $(cat "$work/flags")"
  libdir=$(pkg-config --variable=libdir libidem)
  "$compiler" $instrument "$here/outside/outside.c" -o "$work/shared" \
    $(pkg-config --cflags --libs libidem) "-Wl,-rpath,$libdir"
  check_program "$work/shared"
  "$compiler" $instrument "$here/outside/outside.c" -o "$work/static" $(pkg-config --cflags libidem) \
    "$libdir/libidem.a" $(pkg-config --libs --static libidem | sed 's/-lidem//')
  check_program "$work/static"
  # What only stores of some kinds need is loaded when there is such a store.
  for file in "$libdir/libidem.so" "$work/static"; do
    readelf -d "$file" >"$work/needed"
    grep -q 'NEEDED.*libc\.' "$work/needed" || fail "$file names no libraries"
    ! grep -E 'NEEDED.*lib(ssl|pq)\.' "$work/needed" || fail "$file is linked with a library that it should load"
  done
}

# run_kit FOLDER: what a stranger's project made with the kit. Groups that take half a second are enough.
run_kit() {
  [ "$("$1/unit_test")" = "6 tests passed" ] || fail "$1/unit_test failed"
  for group in settle begin; do
    "$1/backend_test" "$group" >"$work/said" 2>&1 || fail "$1/backend_test: $(cat "$work/said")"
    grep -Eq '^dir: [1-9][0-9]* passed, 0 failed' "$work/said" || fail "backend_test said: $(cat "$work/said")"
  done
}

# A project that has nothing of this tree but its own copies of the examples.
# shellcheck disable=SC2046,SC2086 # words, split on purpose
with_testkit() {
  own=$work/stranger
  mkdir -p "$own" "$work/by-pkg-config"
  cp "$here/stranger/CMakeLists.txt" "$here/stranger/names.c" "$here"/../../examples/unit_test.c \
    "$here"/../../examples/custom_backend.[ch] "$here"/../../examples/custom_backend_test.c "$own"
  for kit in idem::testkit idem::testkit_static; do
    rm -rf -- "$work/build"
    cmake -S "$own" -B "$work/build" -D SOURCES="$own" -D KIT="$kit" -D CMAKE_PREFIX_PATH="$prefix" \
      -D CMAKE_C_COMPILER="$compiler" -D CMAKE_C_FLAGS="$instrument" >"$work/cmake.log" 2>&1 ||
      fail "find_package(idem COMPONENTS testkit): $(cat "$work/cmake.log")"
    cmake --build "$work/build" >"$work/cmake.log" 2>&1 || fail "$(cat "$work/cmake.log")"
    run_kit "$work/build"
  done
  [ "$(pkg-config --modversion idem-testkit)" = "$version" ] || fail "idem-testkit.pc has another version"
  flags="$instrument $(pkg-config --cflags --libs idem-testkit) -Wl,-rpath,$libdir"
  "$compiler" "$own/unit_test.c" -o "$work/by-pkg-config/unit_test" $flags
  "$compiler" "$own/custom_backend_test.c" "$own/custom_backend.c" "$own/names.c" \
    -o "$work/by-pkg-config/backend_test" $flags
  run_kit "$work/by-pkg-config"
  check_kit_symbols
}

# The kit's symbols bear its name, in the archive too, and libidem has none of them.
check_kit_symbols() {
  nm -D --defined-only "$libdir/libidem-testkit.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    grep -v '^_' | sort >"$work/exported"
  tr '\n' ' ' <"$prefix/include/idem/testkit.h" | grep -o 'IDEM_API[^;]*;' | grep -o '\bidem_testkit_[a-z_]*(' |
    tr -d '(' | sort -u >"$work/declared"
  cmp -s "$work/declared" "$work/exported" ||
    fail "the kit declares < and exports >: $(diff "$work/declared" "$work/exported")"
  strangers=$(nm -g --defined-only "$libdir/libidem-testkit.a" | awk 'NF == 3 && $3 !~ /^idem_/ && $3 !~ /^_/ { print $3 }')
  [ -z "$strangers" ] || fail "these symbols of the kit's archive may clash: $strangers"
  ! nm -D --defined-only "$libdir/libidem.so" | grep testkit || fail "libidem has parts of the kit"
}

# Only idem_ may be visible in the shared library, and all that the headers declare has to be.
# shellcheck disable=SC2086 # several files, split on purpose
check_exports() {
  headers=$(find "$prefix/include/idem" -name '*.h' ! -name testkit.h)
  library=$(find "$prefix" -name 'libidem.so')
  nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    grep -v '^_' | sort >"$work/exported"
  if grep -v '^idem_[a-z]' "$work/exported"; then
    fail "these symbols of the shared library are nobody's business"
  fi
  {
    cat $headers | tr '\n' ' ' | grep -o 'IDEM_API[^;]*;'
    cat $headers | grep '^IDEM__INLINE '
  } | grep -o '\bidem_[a-z_]*(' | tr -d '(' | sort -u >"$work/declared"
  grep -v -x -F -f "$work/exported" "$work/declared" && fail "these are declared, but not exported"
  grep -v -x -F -f "$work/declared" "$work/exported" && fail "these are exported, but not declared"
  interface=${version%%.*}
  if [ "$interface" = 0 ]; then
    interface=${version%.*}
  fi
  readelf -d "$library" | grep -q "SONAME.*\[libidem\.so\.$interface\]" || fail "the soname is wrong"
  unversioned=$(nm -D --defined-only --with-symbol-versions "$library" |
    awk '$3 ~ /^idem_/ && $3 !~ /@@IDEM_/ { print $3 }')
  [ -z "$unversioned" ] || fail "these symbols bear no version: $unversioned"
}

check_files() {
  set -- share/man/man3/libidem.3 share/man/man3/idem_async.3
  if [ -f "$prefix/include/idem/testkit.h" ]; then
    set -- "$@" share/man/man3/idem_testkit.3
  fi
  if [ "$has_cli" = ON ]; then
    set -- "$@" bin/idem share/man/man1/idem.1 share/bash-completion/completions/idem
    [ "$("$prefix/bin/idem" version)" = "{\"version\":\"$version\"}" ] || fail "idem has another version"
  fi
  for file in "$@"; do
    [ -s "$prefix/$file" ] || fail "$file was not installed"
  done
}

cmake --install "$build" --prefix "$prefix" >"$work/install.log" 2>&1 || fail "$(cat "$work/install.log")"
check_files
with_cmake
with_pkg_config
if [ -f "$prefix/include/idem/testkit.h" ]; then
  with_testkit
fi
check_exports
echo "installed, built and run: CMake package and pkg-config, shared and static"
