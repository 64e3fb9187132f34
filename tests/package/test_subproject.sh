#!/bin/sh
# SPDX-License-Identifier: MIT
# libidem as a part of another project, and built where packages are missing. test_subproject.sh COMPILER
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
compiler=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "test_subproject: $1" >&2
  exit 1
}

# configure FOLDER SOURCE OPTIONS...: says in $log what cmake said.
configure() {
  folder=$1
  source=$2
  shift 2
  log=$work/cmake.log
  cmake -S "$source" -B "$folder" -D CMAKE_C_COMPILER="$compiler" "$@" >"$log" 2>&1 || fail "$(cat "$log")"
}

# inside NAME KIND OPTIONS...: builds the parent, looks at what it got, installs it and runs it from there.
inside() {
  name=$1
  kind=$2
  shift 2
  configure "$work/$name" "$here/parent" -G "Unix Makefiles" -D LIBIDEM="$root" \
    -D CMAKE_INSTALL_LIBDIR=lib "$@"
  cmake --build "$work/$name" --parallel 2 >"$work/build.log" 2>&1 || fail "$(cat "$work/build.log")"
  tests=$(ctest --test-dir "$work/$name" -N | sed -n 's/^Total Tests: //p')
  [ "$tests" = 1 ] || fail "$name: the parent has $tests tests instead of its own one"
  ctest --test-dir "$work/$name" >"$work/build.log" 2>&1 || fail "$(cat "$work/build.log")"
  others=$(find "$work/$name/libidem" -type f \( -name 'libidem*.so*' -o -name 'libidem*.a' \) ! -name "$kind")
  [ -z "$others" ] || fail "$name: more was built than $kind: $others"
  programs=$(find "$work/$name/libidem" -type f -perm -u+x ! -name '*.so*' ! -path '*/CMakeFiles/*')
  [ -z "$programs" ] || fail "$name: programs were built: $programs"
  cmake --install "$work/$name" --prefix "$work/$name-installed" >"$work/build.log" 2>&1 ||
    fail "$(cat "$work/build.log")"
  rm -rf -- "${work:?}/$name"
  "$work/$name-installed/bin/unit_test" memory:// >"$work/said" || fail "$name: what was installed does not run"
  [ ! -e "$work/$name-installed/include" ] || fail "$name: headers were installed with the parent"
}

inside static 'libidem.a'
inside shared 'libidem.so.*' -D BUILD_SHARED_LIBS=ON

# On its own, without what the tests and the command need: the library is built, and what is left out is said.
PKG_CONFIG_LIBDIR=$work/none
export PKG_CONFIG_LIBDIR
configure "$work/bare" "$root" -D JANSSON_LIBRARY:FILEPATH=
for left in "the tests, for want of check, jansson" "the idem command, for want of jansson" "the examples"; do
  grep -q "Left out: $left" "$log" || fail "it is not said that $left was left out: $(cat "$log")"
done
if cmake -S "$root" -B "$work/asked" -D IDEM_BUILD_TESTS=ON \
  >"$work/asked.log" 2>&1; then
  fail "tests that were asked for were left out"
fi
tr '\n' ' ' <"$work/asked.log" | grep -q "IDEM_BUILD_TESTS is ON, and check is *missing" ||
  fail "the error does not name what is missing: $(cat "$work/asked.log")"
echo "as a part of another project, static and shared; on its own without optional packages"
