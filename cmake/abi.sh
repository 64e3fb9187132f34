#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares the shared library's interface with that of the last release, abi/libidem.abi: additions pass, what is
# removed or changed fails. It takes abigail-tools. The release script calls it with --update.
#
#   abi.sh [--library FILE]   says what differs; exit code 1 if a program that is installed would break
#   abi.sh --update           writes abi/libidem.abi
#   abi.sh --baseline FILE    is about another file than abi/libidem.abi
#   abi.sh --headers FOLDER   the public headers are there
#
# FILE has debugging information; without it a library is built for this.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
baseline=$root/abi/libidem.abi
headers=$root/include/idem
library=
update=no

usage() {
  echo "usage: abi.sh [--library FILE] [--headers FOLDER] [--baseline FILE] [--update]" >&2
  exit 64
}

while [ $# -gt 0 ]; do
  case $1 in
  --update) update=yes ;;
  --library | --baseline | --headers)
    [ $# -gt 1 ] || usage
    case $1 in
    --library) library=$2 ;;
    --baseline) baseline=$2 ;;
    --headers) headers=$2 ;;
    esac
    shift
    ;;
  *) usage ;;
  esac
  shift
done
for tool in abidw abidiff; do
  command -v "$tool" >/dev/null 2>&1 || {
    echo "abi.sh: $tool is missing; it is in the package abigail-tools" >&2
    exit 69
  }
done
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

if [ -z "$library" ]; then
  IDEM_TARGETS=idem_shared sh "$root/cmake/build.sh" "$work/build" -D CMAKE_BUILD_TYPE=Debug -D BUILD_TESTING=OFF \
    -D IDEM_BUILD_CLI=OFF -D IDEM_BUILD_EXAMPLES=OFF >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
  }
  library=$work/build/libidem.so
fi

# Only what the public headers declare; no paths and no line numbers, which differ between machines.
abidw --headers-dir "$headers" --drop-private-types --exported-interfaces-only --no-show-locs \
  --no-comp-dir-path --no-corpus-path --no-elf-needed --type-id-style hash "$library" >"$work/now.abi"
if [ "$update" = yes ]; then
  mkdir -p -- "$(dirname -- "$baseline")"
  sed "s|$root/||g" "$work/now.abi" >"$baseline" # where it was built is nobody's business
  echo "abi.sh: wrote $baseline"
  exit 0
fi

# Before 1.0 a minor version may change the interface, and then it has another soname.
soname() {
  sed -n "s/.*<abi-corpus [^>]*soname='\([^']*\)'.*/\1/p" "$1"
}
if [ "$(soname "$baseline")" != "$(soname "$work/now.abi")" ]; then
  echo "abi.sh: $(soname "$work/now.abi") is not compared with $(soname "$baseline")"
  exit 0
fi
# A struct whose first member is its size may grow at its end: the library reads as much of it as its caller has. So
# these are compared as long as they were. (abidiff's own suppressions also pass a member that was changed.)
awk '
  FNR == 1 { file++ }
  /<class-decl / {
    split($0, quoted, "\047")
    name = quoted[2]
    members = 0
    if (file == 2 && (name in size))
      sub(/size-in-bits=\047[0-9]*\047/, "size-in-bits=\047" size[name] "\047")
    bits = quoted[4]
  }
  /<data-member / { members++ }
  file == 1 && members == 1 && /<var-decl name=\047size\047/ { size[name] = bits }
  file == 1 && /<\/class-decl>/ { count[name] = members; name = "" }
  file == 2 && (name in size) && members > count[name] && !/<\/class-decl>/ { next }
  file == 2 && /<\/class-decl>/ { name = "" }
  file == 2 { print }
' "$baseline" "$work/now.abi" >"$work/cut.abi"
# Exit code 4 is a change, 8 one that is surely incompatible, 1 and 2 errors. Additions are no change.
status=0
abidiff --no-added-syms --no-show-locs "$baseline" "$work/cut.abi" >"$work/report" 2>&1 || status=$?
if [ "$status" != 0 ]; then
  cat "$work/report" >&2
  echo "abi.sh: a program that was linked with the last release would break. Undo the change, or raise the minor" \
    "version (the major one from 1.0 on)." >&2
  exit 1
fi
echo "abi.sh: $(soname "$baseline"): nothing was removed or changed"
