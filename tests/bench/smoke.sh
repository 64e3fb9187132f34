#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs what is measured once, with few keys: it shows that the programs work, and not how fast they are.
#
#   smoke.sh PROGRAMS FOLDER PATTERN   PROGRAMS: where they are; FOLDER: for scraps; PATTERN: of rows' names
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
programs=$1
folder=$2
pattern=$3
exec </dev/null

# shellcheck source=places.sh
. "$here/places.sh"

if ! command -v redis-server >/dev/null 2>&1; then
  echo "skipped: redis-server is missing"
  [ "${IDEM_SKIPS_FAIL:-0}" != 1 ] || exit 1
  exit 77
fi

# run NAME COMMAND...: with so few keys that it takes less than a second on an idle machine.
run() {
  name=$1
  program=$2
  shift 2
  if [ ! -x "$programs/$program" ]; then
    echo "$name: $program was not built"
    return
  fi
  words=
  for word in "$@"; do
    case $word in
    @*) open_place "${word#@}" && word=$place ;;
    *0000) word=${word%00} ;; # fewer neighbours, and a slower rate
    esac
    words="$words $word"
  done
  # shellcheck disable=SC2086 # several words, split on purpose
  if ! "$programs/$program" --ops "$keys" --records 100 --rest 1 $words >"$work/out" 2>&1 ||
    ! grep -q 'ns=[0-9]' "$work/out"; then
    echo "$name failed: $program$words"
    cat "$work/out"
    exit 1
  fi
  echo "$name, $program: $(cat "$work/out")"
  close_places
}

make_places "$folder"
start_servers
sed -e '/^#/d' -e 's/ *| */|/g' "$here/rows" | awk -F '|' -v wanted="$pattern" '$1 ~ wanted' >"$work/rows"
while IFS='|' read -r name _ _ _ _ _ keys _ a b <&3; do
  [ "$keys" = 1 ] || keys=200
  # shellcheck disable=SC2086 # several words, split on purpose
  run "$name" $a
  # shellcheck disable=SC2086 # several words, split on purpose
  [ -z "$b" ] || run "$name" $b
done 3<"$work/rows"
