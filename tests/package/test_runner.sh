#!/bin/sh
# SPDX-License-Identifier: MIT
# The runner itself: cheap parts of it, from another folder and with a build folder that has a blank in its
# path; coverage's filters, in a sources' folder that only looks like one; and gcovr before a counter of -1.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
mkdir "$work/else where" "$work/a build"
cd "$work/else where"

fail() {
  echo "test_runner: $1" >&2
  exit 1
}

# A stage that is not there is told before anything is installed or built.
status=0
IDEM_BUILD="$work/a build" sh "$root/tests/run.sh" no-such-stage >"$work/log" 2>&1 || status=$?
[ "$status" = 64 ] || fail "a stage that is not there gave $status"
grep -q 'the stages are: gcc' "$work/log" || fail "it does not list its stages"

# Every script of the runner finds its files from here.
grep -nE '^(\.|source) [^"]' "$root"/tests/*.sh "$root"/tests/*/*.sh "$root"/tests/proofs/*/*.sh "$root"/cmake/*.sh &&
  fail "these are read relative to where one stands"

# build.sh builds into a folder with a blank, given relative to where one stands.
cmake_said=0
IDEM_TARGETS=idem_core_protocol sh "$root/cmake/build.sh" "../a build/plain" -D CMAKE_BUILD_TYPE=Debug -D BUILD_TESTING=OFF \
  -D IDEM_BACKEND_SQLITE=OFF -D IDEM_BACKEND_REDIS=OFF -D IDEM_BUILD_CLI=OFF -D IDEM_BUILD_EXAMPLES=OFF \
  >"$work/log" 2>&1 || cmake_said=$?
[ "$cmake_said" = 0 ] || fail "$(tail -n 20 "$work/log")"

# Coverage: the same script in a copy whose build and tests are stubs; what is counted are the
# lines of core/protocol/protocol.c and testkit/clock.c, wherever one stands.
if ! command -v gcovr >/dev/null 2>&1; then
  echo "the runner works from any folder; coverage was left out, gcovr is not here"
  exit 0
fi
copy="$work/the copy"
mkdir -p "$copy/tests" "$copy/cmake" "$copy/core" "$work/bin"
cp "$root/tests/coverage.sh" "$copy/tests/"
mkdir -p "$copy/core/protocol" "$copy/testkit"
printf 'int main(void)\n{\n    return 0;\n}\n' >"$copy/core/protocol/protocol.c"
printf 'extern int kit(void);\nint kit(void)\n{\n    return 0;\n}\nint main(void)\n{\n    return kit();\n}\n' >"$copy/testkit/clock.c"
cat >"$copy/cmake/build.sh" <<'STUB'
mkdir -p "$1"
cd "$1"
gcc --coverage -fprofile-abs-path -c "$(dirname -- "$0")/../core/protocol/protocol.c" -o protocol.o
gcc --coverage protocol.o -o program
gcc --coverage -fprofile-abs-path -c "$(dirname -- "$0")/../testkit/clock.c" -o clock.o
gcc --coverage clock.o -o kit
STUB
cat >"$work/bin/ctest" <<'STUB'
#!/bin/sh
cd "$2" && ./program && ./kit
STUB
chmod +x "$work/bin/ctest"
PATH="$work/bin:$PATH" IDEM_BUILD="../a build" sh "$copy/tests/coverage.sh" >"$work/log" 2>&1 || {
  cat "$work/log" >&2
  fail "coverage does not count from another folder"
}
grep -Eq 'lines: 100\.0% \([1-9]' "$work/log" || fail "no line was counted: $(cat "$work/log")"
grep -q 'gcov-ignore-parse-errors' "$root/tests/coverage.sh" || fail "gcovr stops at a counter of -1"
echo "the runner works from any folder, and in one with a blank"
