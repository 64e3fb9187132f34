#!/bin/sh
# SPDX-License-Identifier: MIT
# The library's interface against that of the last release; and that the comparison finds what breaks installed
# programs and nothing else, by a small library in several versions. test_abi.sh BUILD
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
build=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "test_abi: $1" >&2
  exit 1
}

abi() {
  sh "$root/cmake/abi.sh" "$@" >"$work/log" 2>&1
}

# small DEFINITIONS: makes $work/new/libsmall.so of the small library, by the compiler's -D.
small() {
  rm -rf -- "$work/new"
  mkdir -p "$work/new"
  cat >"$work/new/small.h" <<'CODE'
#include <stddef.h>
typedef struct {
    size_t size;
#ifdef INSERTED
    unsigned long inserted;
#endif
    CHANGED lease_ms;
#ifdef APPENDED
    unsigned long appended;
#endif
} idem_request;
typedef enum { IDEM_ONE = 1, IDEM_TWO = TWO } idem_kind;
struct idem_private;
int idem_begin(const idem_request *request, struct idem_private *store);
idem_kind idem_look(void);
#ifndef REMOVED
int idem_gone(void);
#endif
#ifdef ADDED
int idem_added(void);
#endif
CODE
  cat >"$work/new/small.c" <<'CODE'
#include "small.h"
struct idem_private { int value INNER; };
int idem_begin(const idem_request *request, struct idem_private *store)
{
    return (int)request->lease_ms + store->value;
}
idem_kind idem_look(void) { return IDEM_TWO; }
#ifndef REMOVED
int idem_gone(void) { return 0; }
#endif
#ifdef ADDED
int idem_added(void) { return 0; }
#endif
CODE
  cc -g -shared -fPIC -Wl,-soname,libsmall.so.1 -DCHANGED="${CHANGED:-long}" -DTWO="${TWO:-2}" -DINNER="${INNER:-}" \
    "$@" "$work/new/small.c" -o "$work/new/libsmall.so"
}

compare() {
  abi --library "$work/new/libsmall.so" --headers "$work/new" --baseline "$work/small.abi"
}

small
abi --library "$work/new/libsmall.so" --headers "$work/new" --baseline "$work/small.abi" --update ||
  fail "the small library has no interface: $(cat "$work/log")"
compare || fail "a library differs from itself: $(cat "$work/log")"
small -DADDED -DAPPENDED
compare || fail "additions do not pass: $(cat "$work/log")"
INNER='; long more' small
compare || fail "what no header declares does not pass: $(cat "$work/log")"
small -DREMOVED
compare && fail "a call that was removed passes"
CHANGED=short small
compare && fail "a member that was changed passes"
TWO=3 small
compare && fail "a value that was changed passes"
small -DINSERTED
compare && fail "a member in the middle passes"
small -DADDED -DREMOVED -DAPPENDED
compare && fail "an addition hides a removal"

# The library itself. Its debugging information is in a build of this type.
set --
case $(sed -n 's/^CMAKE_BUILD_TYPE:[A-Z]*=//p' "$build/CMakeCache.txt") in
Debug | RelWithDebInfo) set -- --library "$build/libidem.so" ;;
esac
for backend in SQLITE REDIS POSTGRES; do
  if ! grep -q "^IDEM_BACKEND_$backend:BOOL=ON" "$build/CMakeCache.txt"; then
    echo "the comparison finds what breaks programs; this build has left out a backend, and is not compared"
    exit 0
  fi
done
abi "$@" || {
  cat "$work/log" >&2
  fail "the interface is not that of the last release"
}
cat "$work/log"
