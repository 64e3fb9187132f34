#!/bin/sh
# SPDX-License-Identifier: MIT
# idem bench on Redis: all modes, nothing left behind, and a server that goes away in the middle.
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
. "$here/helper.sh"
. "$here/bench_answers.sh"
server=${IDEM_REDIS_SERVER:-redis-server}
command -v "$server" >/dev/null || {
    echo "there is no $server in PATH; install the package redis-server"
    [ "${IDEM_SKIPS_FAIL:-}" = 1 ] && exit 1
    exit 77
}

"$server" --port 0 --unixsocket "$dir/redis.sock" --save '' --dir "$dir" >redis.log 2>&1 &
redis=$!
background=$redis
export IDEM_STORE="redis+unix://$dir/redis.sock"
scene 'the server starts'
eventually test -S "$dir/redis.sock"

# Whatever the server holds, not only what `idem ls` lists.
is_empty() {
    [ -z "$("$idem" ls --limit 1)" ]
}

expect 0 begin my-own --lease 1h
all_modes "$IDEM_STORE" 60

scene 'nothing is left behind, and what was there is still there'
records 1
expect 11 begin my-own
expect 0 forget my-own

scene 'many callers, in batches'
expect 0 bench --threads 16 --batch 20 --ops 2000 --response 1KiB --json
answered cycle 16 20
without_errors 2000
is_empty || fail 'something is left behind'

scene 'kept records expire'
whole=$IDEM_STORE
export IDEM_STORE="$whole?prefix=kept:"
expect 0 bench --ops 10 --keep
records 10 --status completed
export IDEM_STORE="$whole"
expire_in '$1 > 500000 && $1 <= 600000'

scene 'the server goes away in the middle'
start --store "$IDEM_STORE?timeout=200ms" bench --threads 2 --duration 1h --json
eventually some_records
kill "$redis"
wait "$redis"
ended 69
answered cycle 2 1
holds 'ops > 0 && errors >= 10 && !interrupted'
err_has 'failed with UNAVAILABLE, the first: '
err_has 'nothing succeeded any more'
err_has 'records are left behind, and expire 10m0s after they were written: '

scene 'and is not there from the start'
expect 69 --store "$IDEM_STORE?timeout=200ms" bench --ops 1
out_is_empty
