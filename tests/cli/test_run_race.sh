#!/bin/sh
# SPDX-License-Identifier: MIT
# Many runs and begins of one key at the same time: its effect is there once.
. "$(dirname "$0")/helper.sh"

scene 'two runs race for a key, 15 times'
round=0
while [ "$round" -lt 15 ]; do
    round=$((round + 1))
    for n in 1 2; do
        "$idem" run "race $round" --wait 20s -- sh -c "echo x >>effects.$round; echo out" \
            >"out.$n" 2>"err.$n" &
        eval "pid$n=$!"
    done
    # shellcheck disable=SC2154
    wait "$pid1" || fail "round $round: the first has failed: $(cat err.1)"
    # shellcheck disable=SC2154
    wait "$pid2" || fail "round $round: the second has failed: $(cat err.2)"
    lines_are 1 "effects.$round"
    same out.1 out.2
    lines_are 1 out.1
done

scene '20 runs at once, of which each replays the one that ran'
n=0
pids=
while [ "$n" -lt 20 ]; do
    n=$((n + 1))
    "$idem" run crowd --wait 30s -- sh -c "echo x >>effects; sleep 0.2; echo the one: $n" \
        >"crowd.$n" 2>"crowd.err.$n" &
    pids="$pids $!"
done
for pid in $pids; do
    wait "$pid" || fail "one has failed: $(cat crowd.err.*)"
done
lines_are 1 effects
n=1
while [ "$n" -lt 20 ]; do
    n=$((n + 1))
    same crowd.1 "crowd.$n"
done
grep -q '^the one: ' crowd.1 || fail 'its output is lost'

scene '20 begins at once: one is new'
n=0
pids=
while [ "$n" -lt 20 ]; do
    n=$((n + 1))
    "$idem" begin crowd2 >"begin.$n" 2>>begin.err &
    pids="$pids $!"
done
for pid in $pids; do
    wait "$pid"
done
[ "$(cat begin.[0-9]* | grep -c '"outcome":"new"')" -eq 1 ] || fail 'not exactly one is new'
[ "$(cat begin.[0-9]* | grep -c '"outcome":"in_progress"')" -eq 19 ] || fail 'not all others know'
