#!/bin/sh
# SPDX-License-Identifier: MIT
# idem bench on stores that are full, lose records, or can't be used.
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
. "$here/helper.sh"
. "$here/bench_answers.sh"
lock_db=$3

scene 'ops that fail are counted and said, and the end of all success ends the run'
for batch in 1 8; do
    expect 69 --store 'memory://?capacity=100' bench --batch "$batch" --ops 100000 --json
    answered cycle 1 "$batch"
    holds "ops >= 90 && ops <= 100 && errors >= 10 * $batch && errors <= 11 * $batch"
    out_has '"errors_by_code":{"FULL":'
    err_has 'ops failed with FULL, the first: '
    err_has 'nothing succeeded any more'
done
expect 69 --store 'memory://?capacity=100' bench --ops 100000
out_matches '^  failed +10 ops$'

scene 'completed keys that are gone are told'
start --store "$IDEM_STORE?synchronous=normal" bench --mode replay --keys 1 --duration 1h --json
eventually some_key
expect 0 forget "$key"
ended 69
answered replay 1 1
out_has '"errors_by_code":{"OUTCOME":'
err_has 'a completed key was gone'
records 0

scene 'a store that cannot be used, from the start and from some time on'
expect 69 --store sqlite:///no/such/folder/x.db bench
out_is_empty
start --store "$IDEM_STORE?timeout=100ms" bench --duration 1h --rate 100 --json
eventually some_records
lock_store
ended 69
answered cycle 1 1
err_has 'nothing succeeded any more'
err_has 'records are left behind, and expire 10m0s after they were written: '

scene 'nor can the keys be prepared'
expect 69 --store "$IDEM_STORE?timeout=100ms" bench --mode replay
out_is_empty
err_has 'failed with UNAVAILABLE'
unlock_store
