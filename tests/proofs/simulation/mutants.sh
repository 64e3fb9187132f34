#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every mutant of a table under the simulator. A mutant has to be found out within so many
# steps, one that is listed as equivalent has to pass them. Prints how soon each was found.
#
#   mutants.sh FOLDER mutants.txt
set -eu

folder=$1
table=$2
steps=${IDEM_MUTANT_STEPS:-4000000}
equal_steps=400000
caught=0
equivalent=0
wrong=0
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

# One line a mutant: name, "caught" or "equivalent", options.
list() {
  awk '/^mutant /     { if (name) print name, kind, options; name = $2; kind = "caught"; options = "" }
       /^equivalent / { kind = "equivalent" }
       /^with /       { options = substr($0, 6) }
       END            { if (name) print name, kind, options }' "$table"
}

# judge NAME KIND OPTIONS...
judge() {
  name=$1
  kind=$2
  shift 2
  status=0
  limit=$steps
  if [ "$kind" = equivalent ]; then
    limit=$equal_steps
  else
    set -- --expect-breach "$@"
  fi
  "$folder/mutant_$name" --from 1 --steps "$limit" "$@" >"$log" 2>&1 || status=$?
  figures=$(sed -n 's/^\([0-9]* steps in [0-9]* histories\).*/\1/p' "$log")
  found=$(sed -n 's/^seed [0-9]*: //p' "$log")
  if [ "$status" != 0 ]; then
    printf '%-28s WRONG: %s (%s)\n' "$name" "${found:-nothing was found}" "$figures"
    wrong=$((wrong + 1))
  elif [ "$kind" = equivalent ]; then
    printf '%-28s equivalent, passed %s\n' "$name" "$figures"
    equivalent=$((equivalent + 1))
  else
    printf '%-28s caught in %s: %s\n' "$name" "$figures" "$found"
    caught=$((caught + 1))
  fi
}

names=$(list)
while read -r name kind options; do
  # shellcheck disable=SC2086 # options are words
  judge "$name" "$kind" $options
done <<END
$names
END
printf '%d mutants caught, %d equivalent, %d wrong\n' "$caught" "$equivalent" "$wrong"
[ "$wrong" = 0 ] && [ "$caught" -gt 0 ]
