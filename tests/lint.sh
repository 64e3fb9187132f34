#!/bin/sh
# SPDX-License-Identifier: MIT
# What can be judged without running the code: formatting, words, clang-tidy, headers on their own, scripts.
#
# The formatting and clang-tidy's findings differ between versions of LLVM. Those of version 14 are
# binding; those of another, where the distribution has no 14, are shown and fail nothing.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
build=${IDEM_BUILD:-$root/build}/tests/lint
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
failed=0
exec </dev/null

# Prints the name of an LLVM tool: version 14's if it is there.
llvm() {
  if command -v "$1-14" >/dev/null 2>&1; then
    echo "$1-14"
  else
    echo "$1"
  fi
}

# judge NAME TOOL STATUS: TOOL is empty if the findings are binding whatever the tool's version.
judge() {
  if [ "$3" = 0 ]; then
    echo "$1: ok"
  elif [ -n "$2" ] && ! "$2" --version | grep -q 'version 14\.'; then
    echo "$1: findings of another version than 14, for information"
  else
    echo "$1: FAILED"
    failed=1
  fi
}

sources() {
  find include core backends cli examples testkit tests -name '*.[ch]' -print
}

check_format() {
  tool=$(llvm clang-format)
  status=0
  sources | xargs "$tool" --dry-run -Werror || status=$?
  judge clang-format "$tool" "$status"
}

# once FILE: of compile_commands.json the first entry for each file. clang-tidy runs all that it finds,
# and many files are in several programs: the same code under other include paths.
once() {
  awk '
    $0 == "[" || $0 == "]" { next }
    $1 == "{" { entry = "{"; next }
    $1 == "\"file\":" { file = $2; sub(/,$/, "", file) }
    $1 ~ /^},?$/ { if (!(file in seen)) entries[++count] = entry "\n}"; seen[file] = 1; next }
    { entry = entry "\n" $0 }
    END { print "["; for (i = 1; i <= count; i++) print entries[i] (i < count ? "," : ""); print "]" }
  ' "$1"
}

# Lists every file that the build compiles in $build/all, and how in once/compile_commands.json.
configure() {
  mkdir -p -- "$build"
  cmake -S "$root" -B "$build" -D CMAKE_C_COMPILER=clang -D CMAKE_CXX_COMPILER=clang++ \
    -D IDEM_BUILD_TESTS=ON \
    -D CMAKE_EXPORT_COMPILE_COMMANDS=ON >"$build/cmake.log" 2>&1 || {
    cat "$build/cmake.log"
    exit 1
  }
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" |
    grep -vF "$build/" | sort -u >"$build/all" # what is made by the build is judged where it comes from
  mkdir -p -- "$build/once"
  once "$build/compile_commands.json" >"$build/once/compile_commands.json"
}

# tidy ARGUMENTS...: the files are read from stdin.
tidy() {
  tr '\n' '\0' | xargs -0 -n 1 -P "$jobs" "$tool" -p "$build/once" --quiet "$@" 2>>"$build/tidy.log" || status=1
}

check_tidy() {
  tool=$(llvm clang-tidy)
  status=0
  # The header tells about idem_error_set(), and cannot stand in front of its definition.
  grep -F -e "$root/core/" -e "$root/backends/" "$build/all" | grep -v '/core/protocol/error\.c$' >"$build/inside"
  : >"$build/tidy.log"
  tidy --extra-arg=-include --extra-arg="$root/tests/lint/analyzer.h" <"$build/inside"
  grep -vxF -f "$build/inside" "$build/all" >"$build/outside"
  tidy <"$build/outside"
  grep -v 'warnings\{0,1\} generated' "$build/tidy.log" || true
  judge clang-tidy "$tool" "$status"
}

# compiles COMPILER LANGUAGE STANDARD HEADER
compiles() {
  case $4 in
  include/*) dirs=-Iinclude ;;
  core/*) dirs="-Iinclude -Icore/sys -Icore/protocol -Icore/config -Icore/engine -Icore/api" ;;
  *) dirs="-Iinclude -I$(dirname "$4") -I$(dirname "$(dirname "$4")") $libpq" ;;
  esac
  # shellcheck disable=SC2086 # several options, split on purpose
  printf '#include "%s"\n#include "%s"\nextern int used;\n' "$root/$4" "$root/$4" |
    "$1" -x "$2" -std="$3" -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
      -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $dirs -
}

# Each header alone, and twice: the public ones in C and C++, those of the inside in C. A folder that
# the build leaves out may need what is not installed.
check_headers() {
  status=0
  libpq=$(sed -n 's/^LIBPQ_INCLUDE_DIR:PATH=/-isystem /p' "$build/CMakeCache.txt")
  for header in include/idem/*.h; do
    for compiler in gcc clang; do
      compiles "$compiler" c c11 "$header" || status=1
    done
    for standard in c++11 c++14 c++17 c++20; do
      compiles g++ c++ "$standard" "$header" || status=1
      compiles clang++ c++ "$standard" "$header" || status=1
    done
  done
  for header in core/*/*.h backends/*/*.h cli/*.h examples/*.h testkit/*.h testkit/*/*.h; do
    grep -qF "$root/$(dirname "$header")/" "$build/all" || continue
    compiles gcc c c11 "$header" || status=1
  done
  judge headers "" "$status"
}

# How comments and documents are written, so far as a machine can judge it.
check_words() {
  status=0
  sh tests/lint/words.sh || status=$?
  judge words "" "$status"
}

check_scripts() {
  status=0
  find . -path ./build -prune -o -name '*.sh' -exec shellcheck -S warning .ci/run .githooks/pre-commit \
    debian/tests/program {} + || status=$?
  judge shellcheck "" "$status"
}

cd -- "$root"
configure
check_format
check_words
check_headers
check_scripts
check_tidy
exit "$failed"
