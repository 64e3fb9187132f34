#!/bin/sh
# SPDX-License-Identifier: MIT
# idem bench: that it does what it was asked for, that its answers agree with each other, and that
# it leaves nothing behind. How fast anything is, is nobody's business here.
# shellcheck disable=SC2016 # what is in single quotes is for another shell
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
. "$here/helper.sh"
. "$here/bench_answers.sh"
lock_db=$3
quick="$IDEM_STORE?synchronous=normal"

# records COUNT [OPTIONS…]: so many are in the store.
records() {
    count=$1
    shift
    "$idem" ls "$@" >records 2>&1 || fail 'the records cannot be listed'
    lines_are "$count" records
}
some_key() {
    key=$("$idem" ls --prefix idem-bench: --limit 1 | sed 's/.*"key":"\([^"]*\)".*/\1/')
    [ -n "$key" ]
}
some_records() {
    [ "$("$idem" ls --prefix idem-bench: --limit 5 | grep -c '')" -eq 5 ]
}

expect 0 begin my-own
expect 0 begin idem-bench:my-own

all_modes memory:// 200
all_modes "$quick" 60

scene 'the answer is a JSON text'
claim json
expect 0 complete json --token "$token" "$(cat answer)"
expect 0 forget json

scene 'nothing is left behind, and what was there is still there'
records 2
expect 11 begin my-own
expect 11 begin idem-bench:my-own
expect 0 forget my-own
expect 0 forget idem-bench:my-own

scene 'the table'
expect 0 --store "$quick" bench --ops 20
for line in '^cycle, 1 thread, keys of 36 bytes, responses of 256$' '^  ops +20 in [0-9.]+ s$' \
    '^  per second +[0-9,]+$' '^  p50 +[0-9.]+ [num]?s$' '^  p99 +[0-9.]+ [num]?s$' \
    '^  p99.9 +[0-9.]+ [num]?s$' '^  max +[0-9.]+ [num]?s$'; do
    out_matches "$line"
done
out_lacks failed
err_is_empty
expect 0 --store memory:// bench --ops 1234567 --batch 100 --mode claim --threads 2
out_matches '^claim, 2 threads, batches of 100, keys of 36 bytes$'
out_matches '^  ops +1,234,567 in'
out_matches '^  a batch: p50 '

# ------------------------------------------------------------------------------------- the records

scene 'keys and responses are as large as was asked for'
expect 0 --store "$quick" bench --ops 6 --threads 2 --key-size 100 --response 300 --keep
records 6 --status completed
[ "$(sed 's/.*"key":"\([^"]*\)".*/\1/' records | sort -u | grep -cE '^idem-bench:[0-9a-f]{8}:[0-9a-f]{16}\.{64}$')" -eq 6 ] ||
    fail 'the keys are others'
[ "$(grep -c '"response_bytes":300}' records)" -eq 6 ] || fail 'the responses have another size'
key=$(sed -n '1s/.*"key":"\([^"]*\)".*/\1/p' records)
expect 10 begin "$key"
out_matches '^\{"outcome":"completed","response":"r{298}"\}$'

scene 'without tidying up they expire'
left=$(sed -n '1s/.*"expires_in_ms":\([0-9]*\).*/\1/p' records)
[ "$left" -le 600000 ] || fail "it expires in $left ms"
sed 's/.*"key":"\([^"]*\)".*/\1/' records | while read -r key; do
    "$idem" forget "$key" >/dev/null || exit 1
done || fail 'a record could not be forgotten'

scene 'the smallest response'
for size in 1 2 3; do
    expect 0 --store "$quick" bench --ops 1 --response "$size" --keep
    records 1
    grep -q "\"response_bytes\":$size}" records || fail "the response has not $size bytes"
    expect 0 forget "$(sed 's/.*"key":"\([^"]*\)".*/\1/' records)"
done

scene 'claims alone; as long as the lease of the store is'
expect 0 --store "$quick&lease=1h" bench --mode claim --ops 5 --batch 2 --keep
records 5 --status in_progress
left=$(sed -n '1s/.*"expires_in_ms":\([0-9]*\).*/\1/p' records)
[ "$left" -le 600000 ] || fail "it expires in $left ms"
sed 's/.*"key":"\([^"]*\)".*/\1/' records | while read -r key; do
    "$idem" forget "$key" >/dev/null || exit 1
done || fail 'a record could not be forgotten'

scene 'replays: of as many keys as was asked for'
expect 0 --store "$quick" bench --mode replay --keys 300 --threads 2 --ops 50 --keep --json
without_errors 50
records 300 --status completed
left=$(sed -n '1s/.*"expires_in_ms":\([0-9]*\).*/\1/p' records)
[ "$left" -gt 600000 ] || fail "it expires in $left ms"
rm -f store.db*
expect 0 --store "$quick" bench --mode replay --keys 300 --ops 50
records 0

# ----------------------------------------------------------------------------------- time and rate

scene 'a duration'
expect 0 --store memory:// bench --threads 2 --duration 300ms --json
answered cycle 2 1
holds "$(member seconds) >= 0.3 && $(member ops) > 0"

scene 'a rate'
expect 0 --store memory:// bench --threads 2 --rate 200 --duration 1s --json
answered cycle 2 1
holds "$(member ops) <= 200 * $(member seconds) + 2 && $(member ops) >= 100"
expect 0 --store memory:// bench --rate 100 --ops 40 --mode claim --json
answered claim 1 1
holds "$(member ops) == 40 && $(member seconds) >= 0.4 && $(member ops_per_s) <= 100"

scene 'a rate that cannot be kept is said'
expect 0 bench --rate 10000000 --ops 3 --json
answered cycle 1 1
err_has 'of 10000000 ops a second that were asked for there were'

scene 'a warm-up is not counted'
expect 0 --store "$quick" bench --warmup 100ms --ops 5 --keep --json
answered cycle 1 1
without_errors 5
some_records || fail 'there was no warm-up'
[ "$("$idem" ls | grep -c '')" -gt 5 ] || fail 'there was no warm-up'
rm -f store.db*

# ------------------------------------------------------------------------------------------ signals

scene 'a signal ends it early, and what was done is told and tidied up'
for mode in cycle claim; do
    start --store "$quick" bench --mode "$mode" --threads 2 --duration 1h --json
    eventually some_records
    kill -TERM "$started"
    ended 0
    answered "$mode" 2 1
    out_has '"interrupted":true'
    holds "$(member ops) >= 5"
    records 0
done

scene 'the interrupt key, and progress on the terminal'
"$helper" sh -c '(until [ "$("$0" ls --limit 5 | grep -c "")" -eq 5 ]; do sleep 0.05; done
    sleep 0.4; printf "press ^C\n") & exec "$0" bench --duration 1h 2>&1' "$idem" >out 2>err ||
    fail "it ended with $?"
out_matches '^  ops +[0-9,]+ in [0-9.]+ s, interrupted$'
tr '\r' '\n' <out >lines
grep -qE '^ +[0-9.]+ s +[0-9]+ ops +[0-9]+ ops/s' lines || fail 'there was no progress'
records 0

scene 'without a terminal there is no progress'
expect 0 --store memory:// bench --duration 400ms
err_is_empty

# locked SECONDS: takes the write lock of the store; unlock gives it back.
locked() {
    rm -f lock
    "$lock_db" "$dir/store.db" "$1" >lock 2>&1 &
    locker=$!
    background="$background $locker"
    eventually test -s lock
}

scene 'a second signal does not wait for the calls that are under way'
start --store "$IDEM_STORE?timeout=100s" bench --duration 1h --json
eventually some_records
locked 100
sleep 0.2
kill -TERM "$started"
sleep 0.2
kill -0 "$started" || fail 'it did not wait for the calls that are under way'
kill -TERM "$started"
ended 143
kill "$locker"

scene 'a stall counts for the calls that had to wait'
rm -f store.db*
expect 0 ls
start --store "$IDEM_STORE?timeout=100s" bench --rate 50 --ops 50 --json
eventually some_key
locked 1
ended 0
answered cycle 1 1
[ "$(member ops)" -eq 50 ] || fail 'not all ops were done'
rm -f store.db*

# ------------------------------------------------------------------------------------------ failures

scene 'ops that fail are counted and said, and the end of all success ends the run'
for batch in 1 8; do
    expect 69 --store 'memory://?capacity=100' bench --batch "$batch" --ops 100000 --json
    answered cycle 1 "$batch"
    holds "$(member ops) >= 90 && $(member ops) <= 100 && $(member errors) >= 10"
    out_has '"errors_by_code":{"FULL":'
    err_has 'ops failed with FULL, the first: '
    err_has 'nothing succeeded any more'
done
expect 69 --store 'memory://?capacity=100' bench --ops 100000
out_matches '^  failed +10 ops$'

scene 'completed keys that are gone are told'
start --store "$quick" bench --mode replay --keys 1 --duration 1h --json
eventually some_key
expect 0 forget "$key"
ended 69
answered replay 1 1
out_has '"errors_by_code":{"OUTCOME":'
err_has 'a completed key was gone'
records 0

scene 'a store that cannot be used'
expect 69 --store sqlite:///no/such/folder/x.db bench
out_is_empty
start --store "$IDEM_STORE?timeout=200ms" bench --mode cycle --duration 1h --json
eventually some_records
locked 100
ended 69
answered cycle 1 1
err_has 'nothing succeeded any more'
err_has 'records are left behind, and expire 10m0s after they were written: '
kill "$locker"
wait "$locker" 2>/dev/null

scene 'nor can the keys be prepared'
locked 100
expect 69 --store "$IDEM_STORE?timeout=200ms" bench --mode replay
out_is_empty
err_has 'failed with UNAVAILABLE'
kill "$locker"
wait "$locker" 2>/dev/null

# --------------------------------------------------------------------------------------------- usage

scene 'what makes no sense is refused'
while IFS='|' read -r arguments message; do
    # shellcheck disable=SC2086
    expect 64 --store memory:// bench $arguments
    err_has "$message"
    err_has "try 'idem help bench'"
    out_is_empty
done <<'END'
--threads 0|--threads takes a whole number from 1 up
--threads 1025|--threads takes up to 1024
--batch 0|--batch takes a whole number from 1 up
--batch 10001|--batch takes up to 10000
--threads 1000 --batch 1001|--threads times --batch is more than 1000000
--ops 0|--ops takes a whole number from 1 up
--ops -5|--ops takes a whole number from 1 up
--keys 0|--keys takes a whole number from 1 up
--rate 0|--rate takes a whole number from 1 up
--rate 1.5|--rate takes a whole number from 1 up
--duration 0s|--duration: "0s" is no duration
--duration 5|--duration: "5" is no duration
--warmup soon|--warmup: "soon" is no duration
--key-size 35|--key-size takes 36B to 1024B
--key-size 1025|--key-size takes 36B to 1024B
--response 0|--response: "0" is no size
--response 8388609|--response is more than this store takes, 8388608B
--response 1TB|--response: "1TB" is no size
--mode cycles|--mode takes cycle, claim or replay
a|'idem bench' has too many arguments
END
expect 64 --store 'memory://?max_response=1KiB' bench --response 1025
err_has '1024B'
expect 0 --store 'memory://?max_response=1KiB' bench --response 1KiB --ops 1 --key-size 1KiB
