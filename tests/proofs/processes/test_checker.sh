#!/bin/sh
# SPDX-License-Identifier: MIT
# The checker on histories that were made by hand. $1 is the checker, $2 the folder of the histories.
# A good-* has to pass. Any other says in its first line, "# violates: KIND…", what has to be found in
# it: all of these kinds, and no other. Every kind that the checker knows is planted in one at least.
set -u

checker=$1
folder=$2
report=$(mktemp)
planted=$(mktemp)
trap 'rm -f "$report" "$planted"' EXIT
wrong=0
count=0

complain() {
    echo "FAILED: $1"
    cat "$report"
    wrong=1
}

# The kinds found, sorted, in one line.
found() {
    sed -n 's/^violation \([A-Za-z_]*\):.*/\1/p' "$report" | sort -u | tr '\n' ' '
}

for history in "$folder"/*; do
    name=$(basename "$history")
    status=0
    "$checker" "$history" >"$report" 2>&1 || status=$?
    count=$((count + 1))
    case $name in
    good-*)
        [ "$status" -eq 0 ] || complain "$name is refused"
        continue
        ;;
    esac
    wanted=$(sed -n '1s/^# violates: //p' "$history" | tr ' ' '\n' | sort -u | tr '\n' ' ')
    [ -n "$wanted" ] || complain "$name does not say what it violates"
    [ "$status" -eq 1 ] || complain "$name ends with $status"
    [ "$(found)" = "$wanted" ] || complain "$name: found '$(found)', not '$wanted'"
    echo "$wanted" | tr ' ' '\n' >>"$planted"
done

for kind in $("$checker" --kinds) malformed; do
    grep -qx "$kind" "$planted" || complain "$kind is planted nowhere"
done

# A run in which too little happened is no proof.
status=0
"$checker" --need 1 "$folder/good-quiet" >"$report" 2>&1 || status=$?
[ "$status" -eq 3 ] || complain 'too little passes for enough, or for a violation'
grep -q '^too little happened: 0 takeovers, and 1 are needed$' "$report" ||
    complain 'it does not say what was too little'

# The lease's end is a matter of the clocks' grain: the same history with a coarser one passes.
"$checker" --grain-us 60000 "$folder/two-live-late" >"$report" 2>&1 ||
    complain 'the grain does not count'

# What a store loses in a failover is its own loss, and told apart. Neither what lies before the
# window of that failover, nor a key that is used after it alone, may lose anything.
excused() {
    "$checker" --window "$1" "$folder/$2" >"$report" 2>&1 || complain "$1 does not excuse $2"
}
held_against() {
    status=0
    "$checker" --window "$1" "$folder/$2" >"$report" 2>&1 || status=$?
    [ "$status" -eq 1 ] || complain "$1 excuses $2"
}
excused 150000-500000 lost-in-a-failover
grep -q '1 windows, in which the store may lose: 1 keys not judged, 0 until then$' "$report" ||
    complain 'it does not say what it has not judged'
held_against 1-159999 lost-in-a-failover
held_against 601001-900000 lost-in-a-failover
held_against 260000-500000 lost-in-a-failover
held_against 41001-50000 two-live
excused 40500-50000 two-live
grep -q '0 keys not judged, 1 until then$' "$report" || complain 'it does not say what it has cut'
held_against 1-999 two-live

echo "$count histories, $(sort -u "$planted" | grep -c .) kinds planted"
exit "$wrong"
