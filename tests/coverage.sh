#!/bin/sh
# SPDX-License-Identifier: MIT
# How much of the library the tests run: all of them in a build that counts, and the limits below which
# that is a failure. Options for ctest may follow.
#
# The protocol has every line and branch, the whole library nearly all. What is counted are the
# sources that ship: core/, backends/, the code in public headers, and of the test kit all but the suite itself.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
build=${IDEM_BUILD:-$root/build}/tests/coverage
mkdir -p -- "$build"
build=$(cd -- "$build" && pwd -P)
cd -- "$root" # gcovr's filters are relative to where one stands
at_once=$(($(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) * 3)) # most tests wait most of the time
failed=0

# report WHAT LEAST_LINES LEAST_BRANCHES PATHS...: the paths are regular expressions. Prints a table by
# lines and one by branches; fails if there is less than the least.
report() {
  what=$1
  least="--fail-under-line $2 --fail-under-branch $3"
  shift 3
  for path in "$@"; do
    shift
    set -- "$@" --filter "$path"
  done
  echo "== $what: at least $least"
  status=0
  # shellcheck disable=SC2086 # several options, split on purpose
  # A process that is killed while it writes its counts may leave one of -1: that line is passed over.
  gcovr --root "$root" --object-directory "$build" --gcov-ignore-parse-errors "$@" --print-summary $least \
    "$build" || status=$?
  gcovr --root "$root" --object-directory "$build" --gcov-ignore-parse-errors "$@" --branches "$build"
  if [ "$status" != 0 ]; then
    echo "$what: too little is run by the tests" >&2
    failed=1
  fi
}

sh "$root/cmake/build.sh" "$build" -D IDEM_WERROR=ON -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Debug \
  -D IDEM_COVERAGE=ON -D IDEM_BUILD_TESTS=ON
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$at_once" "$@"

report "the protocol" 100 100 core/protocol/protocol.c core/protocol/protocol_error.c
# Much of what stands around a store (rights, limits, mounts, odd servers) is tried by tests that this build leaves
# out: the command's, and those of real servers in trouble.
report "the library" 94 84 core/ backends/ include/
report "the test kit" 90 75 testkit/clock.c testkit/delayed.c testkit/fault testkit/conformance/harness.c testkit/conformance/subject.c
exit "$failed"
