#!/bin/sh
# SPDX-License-Identifier: MIT
# The options of idem run that bound it, and that tell a script how it went.
# shellcheck disable=SC2016 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"

# is_gone FILE: the process whose number is in it has ended.
is_gone() {
    ! kill -0 "$(cat "$1")" 2>/dev/null
}

scene '--max-time stops a CMD that hangs, with all that it has started, and gives the key back'
expect 124 run hangs --max-time 300ms -- sh -c 'echo before; sleep 60 & echo $! >sleeper; wait'
out_is before
err_has 'the command has not ended in 300ms (--max-time); stopping it'
is_gone sleeper || fail 'what it has started is still at work'
expect 14 get hangs
expect 0 run hangs --max-time 1d -- echo again
out_is again
err_is_empty

scene 'it counts as a failure however CMD ends then'
expect 124 run polite --max-time 300ms -- sh -c 'trap "echo bye; exit 0" TERM; while :; do sleep 0.05; done'
out_is bye
expect 14 get polite

scene 'with --keep-failures that is what is replayed'
expect 124 run kept --max-time 300ms --keep-failures -- sh -c 'echo x >>ran; echo out; exec sleep 60'
expect 124 run kept -- touch made
out_is out
lines_are 1 ran
[ ! -e made ] || fail 'it was run again'

scene 'a CMD that is stopped already can be ended, too'
expect 124 run stopped --max-time 300ms -- sh -c 'kill -STOP $$; echo went on'
expect 14 get stopped

scene '--busy-exit is for a key in progress elsewhere, and for nothing else'
claim busy
expect 75 run busy -- touch made
err_has 'in progress elsewhere'
expect 0 run busy --busy-exit 0 -- touch made
err_has 'in progress elsewhere'
expect 255 run busy --busy-exit=255 -- touch made
expect 0 renew busy --token "$token" --lease 1ms
sleep 0.1
expect 75 run busy --no-takeover --busy-exit 0 -- touch made
err_has 'in doubt'
[ ! -e made ] || fail 'it was run'

scene '--quiet says nothing of what goes as it should'
expect 0 run busy --quiet -- sh -c 'echo "$IDEM_ATTEMPT"; echo "of CMD" >&2'
out_is 2
printf 'of CMD\n' >want
same err want
claim held
expect 75 run held --quiet -- touch made
err_is_empty
head -c 3000000 /dev/zero >large
expect 0 run large --quiet -- cat large
err_is_empty
expect 0 run large --quiet --allow-cut -- cat large
err_is_empty

scene 'and is not silent about what is wrong'
expect 74 run large --quiet -- cat large
err_has 'stdout was cut'
expect 124 run slow --quiet --max-time 100ms -- sleep 60
err_has '(--max-time)'
expect 127 run absent --quiet -- ./no-such-program
err_has 'no such program'
expect 69 run --store sqlite:///no/such/folder/x.db down --quiet -- touch made
err_has '/no/such/folder'

scene 'wrong values'
for value in 256 -1 x ''; do
    expect 64 run wrong "--busy-exit=$value" -- touch made
done
for value in 0s 5 x ''; do
    expect 64 run wrong "--max-time=$value" -- touch made
done
[ ! -e made ] || fail 'it was run'
