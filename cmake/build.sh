#!/bin/sh
# SPDX-License-Identifier: MIT
# Configures and builds libidem in a folder: build.sh FOLDER [options for cmake…]
#
# Without presets, so that the oldest cmake that the project supports will do. A folder keeps the
# generator that it began with; one that was made for another source folder is configured anew.
# IDEM_TARGETS names targets to build; without it everything is built.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
if [ $# -eq 0 ]; then
  echo "usage: build.sh FOLDER [options for cmake...]" >&2
  exit 64
fi
folder=$1
shift
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

if ! mkdir -p -- "$folder" || ! [ -w "$folder" ]; then
  echo "Cannot write to $folder; set IDEM_BUILD to a folder of your own" >&2
  exit 73
fi
cache=$folder/CMakeCache.txt
if [ -f "$cache" ] && ! grep -qFx "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
  rm -rf -- "$cache" "$folder/CMakeFiles"
fi
if ! [ -f "$cache" ] && [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null 2>&1; then
  set -- "$@" -G Ninja
fi
if command -v ccache >/dev/null 2>&1; then
  set -- "$@" -D CMAKE_C_COMPILER_LAUNCHER=ccache
fi

cmake -S "$root" -B "$folder" "$@"
# shellcheck disable=SC2086 # several names, split on purpose
cmake --build "$folder" --parallel "$jobs" ${IDEM_TARGETS:+--target $IDEM_TARGETS}
