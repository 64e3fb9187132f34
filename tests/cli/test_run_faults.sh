#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run when something goes wrong in the middle: signals, kills, lost claims, a store that fails.
# shellcheck disable=SC2016 # what is in single quotes is for CMD, or a name
. "$(dirname "$0")/helper.sh"
lock_db=$3

scene 'signals are passed on'
for pair in TERM:15 HUP:1 USR1:10 USR2:12; do
    signal=${pair%:*}
    rm -f ready
    # shellcheck disable=SC2016
    start run "signal $signal" -- sh -c \
        'trap "echo got; exit 9" '"$signal"'; echo >ready; while :; do sleep 0.05; done'
    eventually test -e ready
    kill -"$signal" "$started"
    ended 9
    out_is got
    expect 14 get "signal $signal"
    rm -f ready
    start run "signal $signal" -- sh -c 'echo >ready; exec sleep 30'
    eventually test -e ready
    kill -"$signal" "$started"
    ended $((128 + ${pair#*:}))
done

scene 'what the caller ignores stays ignored'
(
    trap '' HUP
    exec "$idem" run nohup -- sh -c 'kill -HUP $PPID; kill -HUP $$; echo alive'
) >out 2>err || fail 'it has failed'
out_is alive

scene 'SIGPIPE is CMD'"'"'s own affair'
expect 0 run pipe -- sh -c 'yes | head -n 1'
out_is y
err_is_empty

scene 'the interrupt key reaches CMD once'
"$helper" "$idem" run key --keep-failures -- "$helper" count-interrupts >out 2>err
[ $? -eq 8 ] || fail 'of 8 interrupts CMD got more or fewer'
"$helper" "$idem" run key2 -- sh -c 'echo "press ^C"; exec sleep 30' >out 2>err
[ $? -eq 130 ] || fail 'the interrupt key did not end it'
expect 14 get key2

scene 'idem killed in the middle: CMD does not go on, the next run takes over'
rm -f ready
start run crash -- sh -c 'trap "echo term >>log; exit" TERM; echo start >>log
    "$0" checkpoint "$IDEM_KEY" "{\"at\":7}" >/dev/null; echo "$IDEM_TOKEN" >token; echo >ready
    i=0; while [ $i -lt 60 ]; do sleep 0.05; i=$((i + 1)); done; echo finished >>log' "$idem"
eventually test -e ready
kill -KILL "$started"
wait "$started" 2>/dev/null
[ "$(uname)" != Linux ] || eventually grep -q term log
expect 75 run crash -- touch early
err_has 'in progress elsewhere'
[ ! -e early ] || fail 'it was run while the lease was live'
expect 0 renew crash --token "$(cat token)" --lease 1ms # and so it runs out
sleep 0.1
expect 75 run crash --no-takeover -- touch early
err_has 'in doubt'
[ ! -e early ] || fail 'it was run though in doubt'
# what can't be run must not wipe out that an attempt stopped in the middle
expect 127 run crash -- ./no-such-program
expect 0 run crash --wait 5s -- sh -c 'echo "$IDEM_ATTEMPT $IDEM_CHECKPOINT"'
out_is '3 {"at":7}'
err_has 'an earlier run of "crash" stopped in the middle; this is attempt 3'
expect 0 run crash -- false
out_is '3 {"at":7}'
err_is_empty
! grep -q finished log || fail 'CMD has outlived idem'

scene 'CMD killed from outside'
rm -f pid
start run victim -- sh -c 'echo before; echo $$ >pid; exec sleep 30'
eventually test -s pid
kill -KILL "$(cat pid)"
ended 137
out_is before
expect 14 get victim

scene 'the claim is renewed while CMD runs'
start run long --lease 2s -- sh -c 'until [ -e enough ]; do sleep 0.05; done; echo done'
renewed 3 long
expect 75 run long -- touch early
[ ! -e early ] || fail 'it was run twice'
echo >enough
ended 0
expect 0 run long -- false
out_is 'done'

scene 'the claim is lost: CMD is stopped, nothing is stored'
rm -f ready
start run lost --lease 600ms -- sh -c 'echo out; echo >ready; exec sleep 30'
eventually test -e ready
take lost
ended 75
out_is out
err_has 'the claim is lost'
err_has 'nothing is stored'
expect 0 get lost
out_has in_progress

scene 'the record is lost, and nobody else has the key: it is put back, and CMD goes on'
rm -f ready
start run gone --lease 600ms -- sh -c 'echo >ready; until [ -e enough2 ]; do sleep 0.05; done; echo out'
eventually test -e ready
expect 0 forget gone
eventually is_there gone
echo >enough2
ended 0
expect 0 run gone -- false
out_is out

scene 'it is lost just before CMD ends: the result is stored all the same'
expect 0 run late --lease 1h -- "$idem" forget late
out_is '{"forgotten":true}'
err_is_empty
expect 0 run late -- false
out_is '{"forgotten":true}'

scene 'the claim is lost just before CMD ends: its own code'
expect 0 run late2 --lease 1h -- sh -c '"$0" forget late2 && "$0" begin late2 >/dev/null' "$idem"
out_is '{"forgotten":true}'
err_has 'its result is not stored'
expect 0 get late2
out_has in_progress

scene 'wait for the other run, and replay what it has stored'
rm -f ready
start run wait -- sh -c 'echo >ready; sleep 0.5; echo out; exit 0'
eventually test -e ready
expect 0 run wait --wait 20s -- touch second
out_is out
[ ! -e second ] || fail 'it was run twice'
ended 0
rm -f ready
start run wait2 -- sh -c 'echo >ready; sleep 0.5; exit 3'
eventually test -e ready
expect 0 run wait2 --wait 20s -- echo second
out_is second
ended 3

scene 'the store is busy at the end: tried again until it is stored'
db="$dir/busy.db"
# What a CMD does that locks its own store, $1, until `unlock FILE`; $2 is that FILE.
hold_lock='"$0" "$1" 60 >"$2" 2>&1 & echo $! >"$2.pid"; while [ ! -s "$2" ]; do sleep 0.05; done'
unlock() {
    kill "$(cat "$1.pid")"
}
start --store "sqlite://$db?timeout=300ms" run busy -- sh -c "$hold_lock; echo out" "$lock_db" "$db" lock0
eventually grep -q "can't be stored yet" started.err
unlock lock0
ended 0
out_is out
err_lacks 'is not stored'
expect 0 --store "sqlite://$db" run busy -- false
out_is out

scene 'it stays busy for longer than the lease: said, with the code of CMD'
start --store "sqlite://$db?timeout=200ms" run busier --lease 600ms --keep-failures -- \
    sh -c "$hold_lock; echo out; exit 4" "$lock_db" "$db" lock1
ended 4
out_is out
err_has 'its result is not stored'
unlock lock1

scene 'a signal ends the trying'
start --store "sqlite://$db?timeout=200ms" run impatient --lease 1h -- \
    sh -c "$hold_lock; echo out" "$lock_db" "$db" lock2
eventually grep -q "can't be stored yet" started.err
kill -TERM "$started"
ended 0
err_has 'its result is not stored'

scene 'the store is busy at the start: CMD is not run'
expect 69 --store "sqlite://$db?timeout=200ms" run never -- touch ran
[ ! -e ran ] || fail 'the command was run'
unlock lock2
expect 0 --store "sqlite://$db" run never -- touch ran
