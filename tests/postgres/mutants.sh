#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs mutants of the PostgreSQL backend, each with the test that has to fail for it, and that test
# with the backend as it is, which has to pass.
#
#   mutants.sh FOLDER TESTS TABLE...    FOLDER has the mutants, TESTS is the program of the tests
set -eu

folder=$1
tests=$2
shift 2
wrong=0
caught=0
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

# fails PROGRAM TEST
fails() {
  ! CK_RUN_CASE=$2 "$1" >"$log" 2>&1
}

judge() {
  if fails "$tests" "$2" || ! grep -q "Checks: [1-9]" "$log"; then
    echo "$1: WRONG: $2 fails without it"
    wrong=$((wrong + 1))
  elif fails "$folder/mutant_postgres_$1" "$2" && grep -q "[FE]:$2" "$log"; then
    echo "$1: caught by $2"
    caught=$((caught + 1))
  else
    echo "$1: WRONG: $2 does not find it"
    wrong=$((wrong + 1))
  fi
}

names=$(awk '/^mutant /{ name = $2 } /^with /{ print name, $2 }' "$@")
while read -r name test; do
  judge "$name" "$test" </dev/null
done <<END
$names
END
echo "$caught mutants caught, $wrong wrong"
[ "$wrong" = 0 ] && [ "$caught" -gt 0 ]
