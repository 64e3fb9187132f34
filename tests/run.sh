#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing, builds libidem every way that matters, and runs all tests.
#
#   run.sh             every stage
#   run.sh STAGE...    some of them: gcc clang asan tsan minimal proof bench fuzz coverage lint
#                      quickstart
#   run.sh --long      every stage, and the proofs at the length that finds rare things: some hours
#
# Asks nothing, runs from any directory, and needs root or sudo only if packages are missing.
# IDEM_BUILD names another folder for what is built; IDEM_SKIPS_FAIL=1 makes a skipped test fail;
# IDEM_FUZZ_SECONDS is how long each fuzzer runs. What a stage printed is in build/logs.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
build=${IDEM_BUILD:-$root/build}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
at_once=$((3 * jobs)) # most tests wait most of the time
skipped=77
all_stages="gcc clang asan tsan minimal proof bench fuzz coverage lint quickstart"
fuzz_seconds=${IDEM_FUZZ_SECONDS:-60}

# ------------------------------------------------------------------------------------ the stages

# build_with FOLDER OPTIONS...: the options are cmake's.
build_with() {
  folder=$build/tests/$1
  shift
  sh "$root/cmake/build.sh" "$folder" -D IDEM_WERROR=ON -D IDEM_BUILD_TESTS=ON -D IDEM_BUILD_CLI=ON \
    -D IDEM_BUILD_EXAMPLES=ON "$@"
}

# The plain build, which the proofs run in as well. Debug are the sanitizers' builds and coverage's.
build_gcc() {
  build_with gcc -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Release
}

# test_in FOLDER [WORDS...]: the words go in front of ctest; $only is for ctest itself.
only=
test_in() {
  log=$build/tests/$1/ctest.log
  folder=$build/tests/$1
  shift
  status=0
  # shellcheck disable=SC2086 # several options, split on purpose
  "$@" ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$at_once" $only >"$log" 2>&1 ||
    status=$?
  cat "$log"
  # ctest counts a skipped test as passed.
  if [ "${IDEM_SKIPS_FAIL:-0}" = 1 ] && grep -Eq '\*\*\*(Skipped|Not Run)' "$log"; then
    echo "Tests were skipped, and IDEM_SKIPS_FAIL is 1"
    status=1
  fi
  return "$status"
}

# Where the kernel spreads addresses further than the sanitizer's map, it has to be told not to.
test_tsan() {
  probe=$build/tests/tsan/probe
  echo 'int main(void) { return 0; }' | gcc -x c -fsanitize=thread -o "$probe" -
  if "$probe"; then
    test_in tsan env "$@"
  elif setarch -R "$probe"; then
    test_in tsan setarch -R env "$@"
  else
    echo "ThreadSanitizer does not run here; set the sysctl vm.mmap_rnd_bits to 28"
    return "$skipped"
  fi
}

stage() {
  case $1 in
  gcc)
    build_gcc
    test_in gcc env
    ;;
  clang)
    build_with clang -D CMAKE_C_COMPILER=clang -D CMAKE_BUILD_TYPE=Release -D IDEM_TESTS_AGAIN=ON
    test_in clang env
    ;;
  asan)
    build_with asan -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Debug \
      -D IDEM_SANITIZE=address,undefined
    test_in asan env CK_FORK=no UBSAN_OPTIONS=print_stacktrace=1
    ;;
  tsan)
    build_with tsan -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Debug -D IDEM_SANITIZE=thread
    test_tsan CK_FORK=no TSAN_OPTIONS=second_deadlock_stack=1
    ;;
  minimal)
    build_with minimal -D CMAKE_C_COMPILER=gcc -D CMAKE_BUILD_TYPE=Debug \
      -D IDEM_BACKEND_SQLITE=OFF -D IDEM_BACKEND_REDIS=OFF -D IDEM_BACKEND_POSTGRES=OFF \
      -D IDEM_BUILD_CLI=OFF -D IDEM_BUILD_EXAMPLES=OFF
    test_in minimal env
    ;;
  proof | long)
    build_gcc
    at_once=$((jobs + 1))
    only="-V -C Proof -L proof"
    if [ "$1" = long ]; then
      only="-V -C Long -L long"
    fi
    test_in gcc env
    ;;
  bench) sh "$root/tests/bench.sh" --quick ;;
  fuzz) sh "$root/tests/fuzz/run.sh" "$fuzz_seconds" ;;
  coverage) sh "$root/tests/coverage.sh" ;;
  lint) sh "$root/tests/lint.sh" ;;
  quickstart) sh "$root/examples/quickstart.sh" ;;
  esac
}

title() {
  case $1 in
  gcc) echo "gcc: build without warnings, all tests" ;;
  clang) echo "clang: build without warnings, what a compiler can change" ;;
  asan) echo "AddressSanitizer and UndefinedBehaviorSanitizer: what they can find something in" ;;
  tsan) echo "ThreadSanitizer: all that has threads" ;;
  minimal) echo "the library with memory:// alone: build without warnings, its tests" ;;
  proof) echo "the guarantees under faults, crashes and hostile input" ;;
  long) echo "the same at the length that finds rare things" ;;
  bench) echo "every measurement once, to see that it works" ;;
  fuzz) echo "libFuzzer, $fuzz_seconds s for each target" ;;
  coverage) echo "how much of the library the tests run" ;;
  lint) echo "clang-format, clang-tidy, headers, scripts" ;;
  quickstart) echo "examples/quickstart.sh" ;;
  *) return 1 ;;
  esac
}

# ------------------------------------------------------------------------------------ the runner

passed=0
failed=0
report=

# Adds up what ctest said in a log. A stage without ctest, or that failed outside of it, is one test.
count() {
  ran=$(sed -n 's/.* tests passed, [0-9]* tests failed out of \([0-9]*\)$/\1/p' "$1" |
    awk '{ sum += $1 } END { print sum + 0 }')
  broken=$(sed -n 's/.* tests passed, \([0-9]*\) tests failed out of [0-9]*$/\1/p' "$1" |
    awk '{ sum += $1 } END { print sum + 0 }')
  if [ "$2" != skipped ] && [ "$ran" = 0 ]; then
    ran=1
  fi
  if [ "$2" = FAILED ] && [ "$broken" = 0 ]; then
    broken=1
  fi
  failed=$((failed + broken))
  passed=$((passed + ran - broken))
}

finish() {
  printf '\n%s\n%d passed, %d failed\n' "$report" "$passed" "$failed"
  exit "$1"
}

# Runs a stage in a shell of its own (inside an "if", set -e would not end its functions) with its
# output in a log, which is shown if it fails.
run_stage() {
  log=$build/logs/$1.log
  echo "== $1: $(title "$1")"
  began=$(date +%s)
  status=0
  sh "$root/tests/run.sh" --stage "$1" >"$log" 2>&1 || status=$?
  verdict=FAILED
  if [ "$status" = 0 ]; then
    verdict=ok
  elif [ "$status" = "$skipped" ] && [ "${IDEM_SKIPS_FAIL:-0}" != 1 ]; then
    verdict=skipped
  fi
  count "$log" "$verdict"
  line=$(printf '%-10s %-7s %4d s  %4d tests' "$1" "$verdict" "$(($(date +%s) - began))" "$ran")
  report="$report$line
"
  if [ "$verdict" != ok ]; then
    cat "$log"
  fi
  echo "   $line"
  if [ "$verdict" = FAILED ]; then
    finish 1
  fi
}

exec </dev/null
if [ "${1:-}" = --stage ]; then
  stage "$2"
  exit 0
fi
stages=$*
if [ "$stages" = --long ]; then
  stages="$all_stages long"
  export IDEM_FUZZ_SECONDS="${IDEM_FUZZ_SECONDS:-600}"
elif [ -z "$stages" ]; then
  stages=$all_stages
fi
for name in $stages; do
  title "$name" >/dev/null || {
    echo "There is no stage $name; the stages are: $all_stages long" >&2
    exit 64
  }
done
sh "$root/cmake/install-packages.sh" test
if ! mkdir -p -- "$build/logs" || ! [ -w "$build/logs" ]; then
  echo "Cannot write to $build; set IDEM_BUILD to a folder of your own" >&2
  exit 73
fi
build=$(cd -- "$build" && pwd -P)
export IDEM_BUILD="$build"
# A test may take long beside what else the machine does; check's own limits are short.
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-5}"
for name in $stages; do
  run_stage "$name"
done
finish 0
