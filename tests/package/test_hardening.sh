#!/bin/sh
# SPDX-License-Identifier: MIT
# What the library and the command were built with against the abuse of faults, read from the binaries; and
# that a package's command links SQLite, hiredis and jansson as shared libraries. test_hardening.sh BUILD
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
build=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "test_hardening: $1" >&2
  exit 1
}

cached() {
  sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

# check_binary FILE
check_binary() {
  readelf -dW "$1" >"$work/dynamic"
  readelf -lW "$1" >"$work/segments"
  grep -q 'GNU_RELRO' "$work/segments" || fail "$1 has no RELRO"
  grep -Eq 'BIND_NOW|Flags:.*NOW' "$work/dynamic" || fail "$1 binds late, so its RELRO is half"
  grep 'GNU_STACK' "$work/segments" | grep -q 'RWE' && fail "$1 has a stack that can be executed"
  readelf -sW "$1" >"$work/symbols"
  grep -q '__stack_chk_fail' "$work/symbols" || fail "$1 has no stack protector"
  case $(cached CMAKE_BUILD_TYPE) in
  Release | RelWithDebInfo | MinSizeRel)
    grep -Eq '__(memcpy|snprintf|vsnprintf|read|memmove|strcpy|fprintf|printf|vfprintf)_chk' "$work/symbols" ||
      fail "$1 has no checked copies (_FORTIFY_SOURCE)"
    ;;
  esac
  case $(uname -m) in
  x86_64 | i?86)
    objdump -d --no-show-raw-insn "$1" | awk '/endbr(64|32)/ { n++ } END { exit n < 50 }' ||
      fail "$1 has no landing places for branches (CET)"
    ;;
  esac
}

check_binary "$build/libidem.so"
if [ -x "$build/cli/idem" ]; then
  check_binary "$build/cli/idem"
  readelf -hW "$build/cli/idem" | grep -q 'Type:.*DYN' || fail "idem is not position-independent"
  # The preset of packages says that much, and a build that is told so does it.
  grep -A 3 '"name": "package"' "$root/CMakePresets.json" | grep -q '"IDEM_CLI_ARCHIVES": "OFF"' ||
    fail "the preset package links archives"
  cmake -S "$root" -B "$work/package" -D CMAKE_BUILD_TYPE=Debug -D IDEM_CLI_ARCHIVES=OFF -D BUILD_TESTING=OFF \
    -D IDEM_BUILD_EXAMPLES=OFF -D IDEM_BACKEND_SQLITE="$(cached IDEM_BACKEND_SQLITE)" \
    -D IDEM_BACKEND_REDIS="$(cached IDEM_BACKEND_REDIS)" -D CMAKE_C_COMPILER="$(cached CMAKE_C_COMPILER)" \
    -D CMAKE_C_COMPILER_LAUNCHER="$(cached CMAKE_C_COMPILER_LAUNCHER)" >"$work/log" 2>&1 ||
    fail "$(cat "$work/log")"
  cmake --build "$work/package" --parallel 2 --target idem_cli >"$work/log" 2>&1 || fail "$(cat "$work/log")"
  readelf -dW "$work/package/cli/idem" >"$work/dynamic"
  set -- libjansson
  [ "$(cached IDEM_BACKEND_SQLITE)" != ON ] || set -- "$@" libsqlite3
  [ "$(cached IDEM_BACKEND_REDIS)" != ON ] || set -- "$@" libhiredis
  for library in "$@"; do
    grep -q "NEEDED.*$library\\.so" "$work/dynamic" || fail "the packages' idem does not link $library.so"
  done
  "$work/package/cli/idem" --store memory:// begin key >/dev/null || fail "the packages' idem does not run"
fi
echo "hardened: the library and the command; the packages' command links shared libraries"
