#!/bin/sh
# SPDX-License-Identifier: MIT
# What the simulator promises to whoever has to find a defect: the history that broke a guarantee is
# told, is made short, and its seed tells it again.
#
#   shrinks.sh MUTANT
set -eu

mutant=$1
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

fail() {
  echo "shrinks: $1"
  cat "$log"
  exit 1
}

if "$mutant" --from 1 --seconds 20 --guarantee 1 >"$log"; then
  fail "the mutant was not found out"
fi
[ "$(grep -c 'BROKEN: guarantee 1:' "$log")" = 2 ] || fail "the history is not told long and short"
steps=$(sed -n 's/^Shrunk to \([0-9]*\) steps.*/\1/p' "$log")
[ "${steps:-1000}" -le 15 ] || fail "the history was not made short"
lines=$(sed -n '/^What it needs:/,/BROKEN/p' "$log")
seed=$(sed -n 's/^seed \([0-9]*\):.*/\1/p' "$log")
if "$mutant" --seed "$seed" >"$log"; then
  fail "seed $seed breaks nothing when it is run again"
fi
[ "$(grep -c 'BROKEN: guarantee 1:' "$log")" = 1 ] || fail "seed $seed does not tell its history"
printf '%s\nseed %s, shrunk to %s steps\n' "$lines" "$seed" "$steps"
