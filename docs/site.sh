#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes a static site of the documents: README, docs, man pages, and the sources that they link to.
#
#   site.sh [FOLDER]           into build/site, or FOLDER, which it replaces
#   site.sh --check [FOLDER]   and fails if a link leads nowhere
#
# It takes python3-markdown; with mandoc the man pages are there too.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
check=
if [ "${1:-}" = --check ]; then
  check=--check
  shift
fi
folder=${1:-$root/build/site}
# Debian's package belongs to the system's Python, which need not be the first one.
for python in python3 /usr/bin/python3; do
  if "$python" -c 'import markdown' 2>/dev/null; then
    exec "$python" "$root/docs/site/make.py" $check "$root" "$folder"
  fi
done
echo "site.sh: python3-markdown is missing; install it, or run: sh cmake/install-packages.sh test" >&2
exit 69
