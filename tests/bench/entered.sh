#!/bin/sh
# SPDX-License-Identifier: MIT
# Which functions of the library one begin enters: a new key, one caller, a store that is connected. Counted in a
# build that inlines nothing, since that is what somebody who reads the code goes through.
#
#   entered.sh PROGRAMS FOLDER STORE...          PROGRAMS: where the program one_begin is; FOLDER: for scraps
#   entered.sh PROGRAMS FOLDER --list STORE...   prints each function with its file, too
#
# A store is unix (Redis), normal (SQLite) or memory. No more may be entered than the file entered.most says.
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
programs=$1
folder=$2
shift 2
list=no
if [ "${1:-}" = --list ]; then
  list=yes
  shift
fi
exec </dev/null

# shellcheck source=places.sh
. "$here/places.sh"

skip() {
  echo "skipped: $1"
  [ "${IDEM_SKIPS_FAIL:-0}" != 1 ] || exit 1
  exit 77
}

command -v valgrind >/dev/null 2>&1 || skip "valgrind is missing"
failed=0
make_places "$folder"
for store in "$@"; do
  if [ "$store" = unix ]; then
    command -v redis-server >/dev/null 2>&1 || skip "redis-server is missing"
    start_server plain --port 0 --appendonly no
  fi
  open_place "$store"
  if ! valgrind --tool=callgrind --callgrind-out-file="$work/profile" --toggle-collect=measured_begin \
    "$programs/one_begin" "$place" >"$work/log" 2>&1; then
    cat "$work/log"
    exit 1
  fi
  close_places
  awk -f "$here/entered.awk" "$work/profile" | sort >"$work/entered"
  [ "$list" = no ] || sed 's/^/  /' "$work/entered"
  functions=$(wc -l <"$work/entered")
  files=$(cut -d ' ' -f 1 "$work/entered" | sort -u | wc -l)
  most=$(awk -v store="$store" '$1 == store { print $2, $3 }' "$here/entered.most")
  echo "$store: one begin enters $functions functions in $files files; at most ${most% *} in ${most#* }"
  if [ "$functions" = 0 ] || [ "$functions" -gt "${most% *}" ] || [ "$files" -gt "${most#* }" ]; then
    failed=1
    echo "  too many, or none: --list names them. If it has to be so, say why and change tests/bench/entered.most"
  fi
done
exit "$failed"
