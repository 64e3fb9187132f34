#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzz targets with clang and runs each of them for SECONDS, two at a time, on a copy of
# its corpus. Prints for each how many inputs it ran and how much of the code they reached (cov:
# edges, ft: features), and fails if a property did not hold, a sanitizer spoke or nothing was run.
#
#   run.sh SECONDS [TARGET...]
#
# What was found stays in $IDEM_BUILD/fuzz/findings (build/fuzz/findings unless that is set), with
# what the target said and how to replay it. IDEM_FUZZ_SEED repeats a run's choices.
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
build=${IDEM_BUILD:-$root/build}/fuzz
findings=$build/findings
exec </dev/null

if [ $# -lt 1 ] || ! [ "$1" -gt 0 ] 2>/dev/null; then
  echo "usage: run.sh SECONDS [TARGET...]" >&2
  exit 64
fi

# run_target NAME SECONDS: one target; what it says goes into a log, its summary to stdout.
run_target() {
  work=$build/work/$1
  log=$findings/$1.log
  rm -rf -- "$work"
  mkdir -p -- "$work"
  dictionary=
  if [ -f "$here/$1.dict" ]; then
    dictionary=-dict=$here/$1.dict
  fi
  status=0
  # New inputs go into the first folder. A single input may take 10 s and 1 GiB, and ask for 64 MiB
  # at once: whatever is sent, it makes nobody wait or allocate without end.
  # shellcheck disable=SC2086 # no word at all if there is no dictionary
  "$build/tests/fuzz/fuzz_$1" -max_total_time="$2" -seed="${IDEM_FUZZ_SEED:-0}" -timeout=10 \
    -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1 -artifact_prefix="$findings/$1-" \
    $dictionary "$work" "$here/corpus/$1" >"$log" 2>&1 || status=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  reached=$(sed -n 's/^#[0-9].* cov: \([0-9]*\) ft: \([0-9]*\) .*/cov: \1 ft: \2/p' "$log" | tail -n 1)
  seed=$(sed -n 's/^INFO: Seed: *//p' "$log")
  if [ "$status" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
    printf 'fuzz %-12s ok, %9d inputs, %6d/s, %s (seed %s)\n' "$1" "$runs" $((runs / $2)) "$reached" "$seed"
    rm -f -- "$log"
  else
    printf 'fuzz %-12s FAILED after %s inputs (seed %s)\n' "$1" "${runs:-?}" "$seed"
    tail -n 60 "$log"
    for input in "$findings/$1"-*; do
      [ ! -f "$input" ] || printf 'replay it with: %s %s\n' "$build/tests/fuzz/fuzz_$1" "$input"
    done
    return 1
  fi
}

# Two at a time take every other target each.
run_share() {
  failed=0
  seconds=$1
  shift
  for name; do
    run_target "$name" "$seconds" || failed=1
  done
  return "$failed"
}

seconds=$1
shift
mkdir -p -- "$findings"
cmake -S "$root" -B "$build" -D CMAKE_C_COMPILER=clang -D CMAKE_CXX_COMPILER=clang++ \
    -D IDEM_BUILD_TESTS=ON \
  -D CMAKE_BUILD_TYPE=RelWithDebInfo -D IDEM_FUZZ=ON -D IDEM_SANITIZE=address,undefined \
  -D IDEM_WERROR=ON >"$build/configure.log" 2>&1 || {
  cat "$build/configure.log"
  exit 1
}
cmake --build "$build" --target fuzz --parallel 2 >"$build/build.log" 2>&1 || {
  cat "$build/build.log"
  exit 1
}
if [ $# -eq 0 ]; then
  set -- url json record units compose protocol redis_reply
fi
first=
second=
for name; do
  if ! [ -x "$build/tests/fuzz/fuzz_$name" ]; then
    echo "There is no target $name" >&2
    exit 64
  fi
  if [ "${#first}" -le "${#second}" ]; then
    first="$first $name"
  else
    second="$second $name"
  fi
done
failed=0
# shellcheck disable=SC2086 # lists of names
run_share "$seconds" $first &
other=$!
# shellcheck disable=SC2086
run_share "$seconds" $second || failed=1
wait "$other" || failed=1
exit "$failed"
