#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs programs under valgrind: no invalid access, no uninitialised value, nothing that is lost.
#
#   valgrind.sh BUILD   BUILD: the build's tests folder, without sanitizers
#
# Left out: what forks (each child would be run again, at thirty times the cost; what a child does is
# shown natively), what asserts times, and the tests of more than a few seconds natively. Several
# programs run at once; each has its log, which is shown if it fails.
set -eu

build=$1
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
logs=$(mktemp -d)
trap 'rm -rf -- "$logs"' EXIT
CK_FORK=no
CK_DEFAULT_TIMEOUT=600
export CK_FORK CK_DEFAULT_TIMEOUT

if ! command -v valgrind >/dev/null 2>&1; then
  echo "there is no valgrind in PATH; install the package valgrind" >&2
  [ "${IDEM_SKIPS_FAIL:-0}" != 1 ] || exit 1
  exit 77
fi

# check NAME PROGRAM: takes down how it went. Where a program has put its own malloc() in front of the
# C library's, that one has to be let work.
check() {
  valgrind --quiet --error-exitcode=9 --leak-check=full \
    --errors-for-leak-kinds=definite,indirect --suppressions="$here/valgrind.supp" \
    --soname-synonyms=somalloc=nouserintercepts --num-callers=20 "$2" >"$logs/$1.log" 2>&1 || echo "$?" >"$logs/$1.failed"
}

# Cases of the conformance suite: the calls in their outcomes, and threads.
cases='begin absent
begin own token
begin expired
begin in doubt
complete
renew and checkpoint
release
scan
guarantee 9'

run_unit() {
  for name in json record url params key error random protocol pool pool_ends spin registry store claim validate \
    memory_table jansson sqlite_fault sqlite_records sqlite_join; do
    program=$build/unit/unit_$name
    [ ! -x "$program" ] || check "unit_$name" "$program"
  done
}

run_conformance() {
  program=$build/conformance/conformance_$1
  [ -x "$program" ] || return 0
  printf '%s\n' "$cases" | while IFS= read -r case; do
    export CK_RUN_CASE="$case"
    check "conformance_$1_$(printf '%s' "$case" | tr ' ' _)" "$program"
  done
}

# The programs that make allocations fail: what is done then is looked at most closely here.
run_allocation() {
  for name in begin claims many records; do
    export IDEM_ALLOCATION_STEP=29
    check "allocation_$name" "$build/proofs/allocation/allocation_$name"
  done
}

(
  run_unit
  run_conformance memory
) &
(
  run_conformance sqlite
  run_conformance sqlite_join
) &
run_allocation
wait

count=0
failed=0
for log in "$logs"/*.log; do
  count=$((count + 1))
  name=$(basename -- "$log" .log)
  if [ -e "$logs/$name.failed" ]; then
    failed=$((failed + 1))
    echo "== $name: exit code $(cat "$logs/$name.failed")"
    cat "$log"
  fi
done
echo "valgrind: $count programs, $failed with findings"
[ "$failed" = 0 ]
