#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs mutants of the PostgreSQL backend, each with the test that has to fail for it, and that test
# with the backend as it is, which has to pass.
#
#   mutants.sh FOLDER TABLE...    FOLDER has the programs of the tests, and mutants/
set -eu

folder=$1
shift
wrong=0
caught=0
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

# fails PROGRAM TEST
fails() {
  ! CK_RUN_CASE=$2 "$1" >"$log" 2>&1
}

# judge MUTANT SUBJECT TEST
judge() {
  if fails "$folder/postgres_$2" "$3" || ! grep -q "Checks: [1-9]" "$log"; then
    echo "$1: WRONG: $3 fails without it"
    wrong=$((wrong + 1))
  elif fails "$folder/mutants/mutant_postgres_$1" "$3" && grep -q "[FE]:$3" "$log"; then
    echo "$1: caught by $3"
    caught=$((caught + 1))
  else
    echo "$1: WRONG: $3 does not find it"
    wrong=$((wrong + 1))
  fi
}

names=$(awk '/^mutant /{ name = $2 } /^with /{ print name, $2, $3 }' "$@")
while read -r name subject test; do
  judge "$name" "$subject" "$test" </dev/null
done <<END
$names
END
echo "$caught mutants caught, $wrong wrong"
[ "$wrong" = 0 ] && [ "$caught" -gt 0 ]
