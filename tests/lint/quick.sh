#!/bin/sh
# SPDX-License-Identifier: MIT
# The linters that take no build, on some files: quick.sh FILE… Used before a commit.
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
status=0
format=$(command -v clang-format-14 || command -v clang-format || true)

for file; do
  [ -f "$file" ] || continue
  case $file in
  *.c | *.h)
    if [ -n "$format" ]; then
      "$format" --dry-run -Werror "$file" || status=1
    fi
    ;;
  *.sh | .githooks/* | .ci/run)
    if command -v shellcheck >/dev/null 2>&1; then
      shellcheck -S warning "$file" || status=1
    fi
    ;;
  esac
  case $file in
  tests/* | */tests/*) ;;
  *) sh "$here/words.sh" "$file" || status=1 ;;
  esac
done
exit "$status"
