#!/bin/sh
# SPDX-License-Identifier: MIT
# What a C++ compiler has to refuse, and what it takes beside it. cxx_refused.sh COMPILER INCLUDE NAME
set -eu

compiler=$1
include=$2
said=$(mktemp)
trap 'rm -f -- "$said"' EXIT

# compiles TEXT: as the body of a function that has a store.
compiles() {
  printf '#include <idem/idem.hpp>\nvoid f(idem::store &store, idem_store *c) { %s; (void)store; (void)c; }\n' "$1" |
    "$compiler" -std=c++17 -I"$include" -fsyntax-only -x c++ - 2>"$said"
}

case $3 in
callback_may_throw)
  right='store.scan([](const idem_record &) noexcept { return true; })'
  wrong='store.scan([](const idem_record &) { return true; })'
  reason='noexcept'
  ;;
request_pointer_is_kept)
  right='idem_outcome o; (void)!idem_begin(c, IDEM_REQUEST(.key = idem_bytes_of("k", 1)), &o, nullptr)'
  wrong='const idem_request *r = IDEM_REQUEST(.key = idem_str("k")); (void)r'
  reason='idem__request_value'
  ;;
*) exit 64 ;;
esac
compiles "$right" || {
  cat "$said"
  echo "the compiler does not take what is right: $right"
  exit 1
}
if compiles "$wrong"; then
  echo "the compiler takes: $wrong"
  exit 1
fi
grep -q "$reason" "$said" || {
  cat "$said"
  echo "the compiler's message does not speak of $reason"
  exit 1
}
