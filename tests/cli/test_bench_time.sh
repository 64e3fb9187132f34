#!/bin/sh
# SPDX-License-Identifier: MIT
# idem bench: how long it runs, at what rate, and what ends it early.
# shellcheck disable=SC2016 # what is in single quotes is for another shell
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
. "$here/helper.sh"
. "$here/bench_answers.sh"
lock_db=$3
quick="$IDEM_STORE?synchronous=normal"

scene 'a duration'
expect 0 --store memory:// bench --threads 2 --duration 300ms --json
answered cycle 2 1
holds 'seconds >= 0.3 && ops > 0'

scene 'a rate'
expect 0 --store memory:// bench --threads 2 --rate 200 --duration 500ms --json
answered cycle 2 1
holds 'ops <= 200 * seconds + 2 && ops >= 50'
expect 0 --store memory:// bench --rate 100 --ops 40 --mode claim --json
answered claim 1 1
holds 'ops == 40 && seconds >= 0.4 && ops_per_s <= 100'

scene 'a rate that cannot be kept is said'
expect 0 bench --rate 10000000 --ops 3 --json
answered cycle 1 1
err_has 'of 10000000 ops a second that were asked for there were'

scene 'a warm-up is not counted'
expect 0 --store "$quick" bench --warmup 30ms --ops 5 --keep --json
answered cycle 1 1
without_errors 5
[ "$("$idem" ls | grep -c '')" -gt 5 ] || fail 'there was no warm-up'
empty_the_store

scene 'a stall counts for the calls that had to wait'
make_store
more_records_than() {
    [ "$("$idem" ls | grep -c '')" -gt "$1" ]
}
start --store "$IDEM_STORE?timeout=100s" bench --rate 50 --duration 1h --json
eventually some_key
lock_store 1
wait "$locker"
eventually more_records_than 60
kill -TERM "$started"
ended 0
answered cycle 1 1
# In the second in which it was locked 50 were due, and 30 of these waited for 400 ms at least: more
# than 1 in 100 of all, while but one call was slow.
holds 'errors == 0 && p99 >= 400000'

# ------------------------------------------------------------------------------------------ signals

scene 'a signal ends it early, and what was done is told and tidied up'
for mode in cycle claim; do
    start --store "$quick" bench --mode "$mode" --threads 2 --duration 1h --rate 500 --json
    eventually some_records
    kill -TERM "$started"
    ended 0
    answered "$mode" 2 1
    holds 'interrupted && ops >= 5 && errors == 0'
    records 0
done

scene 'while keys are prepared there is nothing to tell'
start --store "$quick" bench --mode replay --keys 100000000 --duration 1h
eventually some_records
kill -TERM "$started"
ended 143
out_is_empty
records 0

scene 'the interrupt key, and progress on the terminal'
"$helper" sh -c '(until [ "$("$0" ls --limit 5 | grep -c "")" -eq 5 ]; do sleep 0.05; done
    sleep 0.4; printf "press ^C\n") & exec "$0" bench --duration 1h --rate 500 2>&1' "$idem" >out 2>err ||
    fail "it ended with $?"
out_matches '^  ops +[0-9,]+ in [0-9.]+ s, interrupted$'
tr '\r' '\n' <out >lines
grep -qE '^ +[0-9.]+ s +[0-9]+ ops +[0-9]+ ops/s' lines || fail 'there was no progress'
records 0

scene 'without a terminal there is no progress'
expect 0 --store memory:// bench --duration 400ms
err_is_empty

scene 'a second signal does not wait for the calls that are under way'
start --store "$quick&timeout=100s" bench --duration 1h --rate 200 --json
eventually some_records
lock_store
sleep 0.2
kill -TERM "$started"
sleep 0.2
kill -0 "$started" || fail 'it did not wait for the calls that are under way'
kill -TERM "$started"
ended 143 2>/dev/null
unlock_store
