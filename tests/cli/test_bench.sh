#!/bin/sh
# SPDX-License-Identifier: MIT
# idem bench: that it does what it was asked for, that its answers agree with each other, and that
# it leaves nothing behind. How fast anything is, is nobody's business here.
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
. "$here/helper.sh"
. "$here/bench_answers.sh"
quick="$IDEM_STORE?synchronous=normal"

expect 0 begin my-own --lease 1h
expect 0 begin idem-bench:my-own --lease 1h

all_modes memory:// 200
all_modes "$quick" 60

scene 'the answer is a JSON text'
cp out answer
claim json
expect 0 complete json --token "$token" "$(cat answer)"
expect 0 forget json

scene 'nothing is left behind, and what was there is still there'
records 2
expect 11 begin my-own
expect 11 begin idem-bench:my-own
empty_the_store

scene 'the table'
expect 0 --store "$quick" bench --ops 20
for line in '^cycle, 1 thread, keys of 36 bytes, responses of 256$' '^  ops +20 in [0-9.]+ s$' \
    '^  per second +[0-9,]+$' '^  p50 +[0-9.]+ [num]?s$' '^  p99 +[0-9.]+ [num]?s$' \
    '^  p99.9 +[0-9.]+ [num]?s$' '^  max +[0-9.]+ [num]?s$'; do
    out_matches "$line"
done
lines_are 8 out
err_is_empty
expect 0 --store memory:// bench --ops 12345 --batch 100 --mode claim --threads 2
out_matches '^claim, 2 threads, batches of 100, keys of 36 bytes$'
out_matches '^  ops +12,345 in'
out_matches '^  a batch: p50 '

# ------------------------------------------------------------------------------------- the records

scene 'keys and responses are as large as was asked for'
expect 0 --store "$quick" bench --ops 6 --threads 2 --key-size 100 --response 300 --keep
records 6 --status completed
[ "$(sed 's/.*"key":"\([^"]*\)".*/\1/' records | sort -u | grep -cE '^idem-bench:[0-9a-f]{8}:[0-9a-f]{16}\.{64}$')" -eq 6 ] ||
    fail 'the keys are others'
[ "$(grep -c '"response_bytes":300}' records)" -eq 6 ] || fail 'the responses have another size'
some_key
expect 10 begin "$key"
out_matches '^\{"outcome":"completed","response":"r{298}"\}$'

scene 'without tidying up they expire'
expire_in '$1 > 500000 && $1 <= 600000'
empty_the_store

scene 'the smallest responses'
for size in 1 2; do
    expect 0 --store "$quick" bench --ops 1 --response "$size" --keep
    records "$size" --status completed
    grep -q "\"response_bytes\":$size}" records || fail "the response has not $size bytes"
done
empty_the_store

scene 'claims alone, and no longer than that, whatever the lease of the store'
expect 0 --store "$quick&lease=1h" bench --mode claim --ops 5 --batch 2 --keep
records 5 --status in_progress
expire_in '$1 > 560000 && $1 <= 660000' # their lease, and behind it their retention
empty_the_store

scene 'replays: of as many keys as was asked for, which last for the run'
expect 0 --store "$quick" bench --mode replay --keys 300 --threads 2 --ops 50 --keep --json
without_errors 50
records 300 --status completed
expire_in '$1 > 86000000 && $1 <= 86400000'
expect 0 --store "$quick" bench --mode replay --keys 20 --threads 2 --duration 50ms --keep
records 320 --status completed
[ "$(sed 's/.*"expires_in_ms":\([0-9]*\).*/\1/' records | awk '$1 > 500000 && $1 <= 600050' | grep -c '')" -eq 20 ] ||
    fail 'they expire at another time'
expect 0 --store "$quick" bench --mode replay --keys 30 --ops 50
records 320

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
--rate 1.5|--rate takes a whole number from 1 up
--duration 0s|--duration: "0s" is no duration
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
