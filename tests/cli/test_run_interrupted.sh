#!/bin/sh
# SPDX-License-Identifier: MIT
# A signal that comes while idem begins: nobody is at work afterwards, so nothing stays claimed.
# shellcheck disable=SC2016,SC2154 # what is in single quotes is for CMD; helper.sh sets started
. "$(dirname "$0")/helper.sh"
# A begin has two seconds from the signal on, in which no busy disk should stand.
export IDEM_STORE="$IDEM_STORE?synchronous=normal"
lock_db=$3
term_at_claim=$4

scene 'TERM as soon as the claim is in the store: run'
make_store
round=0
while [ "$round" -lt 4 ]; do
    round=$((round + 1))
    "$term_at_claim" store.db "$idem" run "run $round" --lease 1h --report report \
        -- sleep 60 >out 2>err
    [ $? -eq 143 ] || fail "round $round: it has not ended by TERM"
    expect 14 get "run $round"
    grep -q '"outcome":"new".*"signal":15,"exit":143' report || fail "the report is: $(cat report)"
done

scene 'TERM as soon as the claim is in the store: begin'
round=0
while [ "$round" -lt 4 ]; do
    round=$((round + 1))
    "$term_at_claim" store.db "$idem" begin "begin $round" --lease 1h >out 2>err
    cp out told
    grep -q '"token"' told || expect 14 get "begin $round"
done

scene 'a token of the caller'\''s own: the claim stays, and can be begun again'
"$term_at_claim" store.db "$idem" begin mine --lease 1h --token 0123456789abcdef0123456789abcdef >out 2>err
expect 0 begin mine --token 0123456789abcdef0123456789abcdef
out_has '"attempt":1'

scene 'after a takeover the record stays, with its attempt'
claim crashed --lease 1ms
expect 0 checkpoint crashed --token "$token" '{"step":1}'
is_stuck() {
    "$idem" ls --stuck | grep -q '"key":"crashed"'
}
eventually is_stuck
# The shell that becomes idem has handlers of its own for a moment.
catches_term() {
    grep -q '^idem' "/proc/$started/comm" &&
        sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$started/status" | grep -q '[4567cdef]...$'
}
"$lock_db" store.db 60 >locked &
locker=$!
background="$background $locker"
eventually test -s locked
start run crashed -- touch ran
eventually catches_term
kill -TERM "$started"
kill -KILL "$locker"
ended 143
test ! -e ran || fail 'CMD was run'
eventually is_stuck
expect 0 get crashed
out_has '"checkpoint":{"step":1}'

scene 'a begin that waits is not waited for'
claim busy --lease 1h
for command in 'run busy --wait 1h -- touch ran' 'begin busy --wait 1h'; do
    # shellcheck disable=SC2086
    start $command
    eventually catches_term
    kill -TERM "$started"
    ended 143
done
test ! -e ran || fail 'CMD was run'

scene 'nor is a store that does not answer'
rm -f locked
"$lock_db" store.db 60 >locked &
locker=$!
background="$background $locker"
eventually test -s locked
for command in 'run new -- touch ran' 'begin new'; do
    # shellcheck disable=SC2086
    start --store "sqlite:store.db?timeout=50s" $command
    eventually catches_term
    kill -TERM "$started"
    ended 143
done
kill -0 "$locker" || fail 'it has waited for the store'
kill -KILL "$locker"

scene 'what the caller ignores stays ignored'
(
    trap '' TERM
    exec "$idem" run ignored -- sh -c 'kill -TERM $PPID $$; echo on'
) >out 2>err || fail 'TERM has ended it'
out_is on
