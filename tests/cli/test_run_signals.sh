#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run and signals: each reaches CMD once, and idem ends as CMD did.
# shellcheck disable=SC2016,SC3045 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"

# begin_counting COMMAND…: its leader and group is in the file leader.
begin_counting() {
    rm -f got ready enough leader
    setsid sh -c 'echo $$ >leader; exec "$@"' sh "$@" >got 2>err &
    running=$!
    eventually test -e ready
    leader=$(cat leader)
}
# The last signal is of another kind, so that all that came before it has arrived.
end_counting() {
    eventually grep -qs "$1" got
    kill -USR1 "$leader"
    eventually grep -qs USR1 got
    echo >enough
    wait "$running"
    [ "$(grep -c "$1" got)" -eq 1 ] || fail "CMD got $1 so often: $(grep -c "$1" got)"
}

for signal in TERM HUP; do
    scene "$signal to the whole group reaches CMD once"
    begin_counting "$idem" run "group $signal" -- "$helper" note-signals
    kill -"$signal" "-$leader"
    end_counting "$signal"

    scene "$signal to one process after the other"
    begin_counting "$idem" run "each $signal" -- "$helper" note-signals
    for pid in $(ps -eo pid=,sid= | awk -v sid="$leader" '$2 == sid { print $1 }'); do
        kill -"$signal" "$pid" 2>/dev/null
    done
    end_counting "$signal"

    scene "$signal to idem alone is passed on"
    begin_counting "$idem" run "alone $signal" -- "$helper" note-signals
    kill -"$signal" "$leader"
    end_counting "$signal"
done

scene 'two, one after the other, to idem alone'
begin_counting "$idem" run twice -- "$helper" note-signals
kill -TERM "$leader"
eventually grep -qs TERM got
kill -TERM "$leader"
eventually sh -c '[ "$(grep -cs TERM got)" -eq 2 ]'
echo >enough
wait "$running"

scene 'idem dies of the signal that CMD died of'
ulimit -c unlimited 2>/dev/null
for number in 1 2 3 6 9 11 15; do
    "$helper" ends-by "$number" "$idem" run "end $number" --keep-failures -- sh -c "kill -$number \$\$" >out 2>err ||
        fail "signal $number: it has ended in another way"
    "$helper" ends-by "$number" "$idem" run "end $number" -- true >out 2>err ||
        fail "signal $number: the replay has ended in another way"
    expect 10 begin "end $number"
    out_has "\"exit\":$((128 + number)),\"signal\":$number"
done
"$helper" ends-by 15 "$idem" run code -- sh -c 'exit 143' >out 2>err && fail 'an exit code was taken for a signal'
rm -f core core.*

scene 'the interrupt key ends a loop'
cat >loop.sh <<'END'
for i in 1 2 3; do
    echo $i >>rounds
    "$1" run loop$i -- sh -c 'echo "press ^C"; exec sleep 30'
done
END
if command -v bash >/dev/null; then
    "$helper" bash loop.sh "$idem" >out 2>err
    lines_are 1 rounds
fi

scene 'the stop key, and on again'
cat >stop.sh <<'END'
set -m
"$1" run stop -- sh -c 'echo "press ^Z"; sleep 0.5; echo after'
echo stopped
fg >/dev/null
echo "code $?"
END
"$helper" sh stop.sh "$idem" >out 2>err
grep -v '^\[' out | grep -E '^(stopped|after|code 0)$' >order
printf 'stopped\nafter\ncode 0\n' >want
same order want

scene 'CMD reads the terminal, and may take it for a group of its own'
"$helper" "$idem" run reads -- sh -c 'echo "press ^M"; read -r line && echo "got <$line>"' >out 2>err
out_has 'got <>'
"$helper" "$idem" run group2 -- sh -c 'set -m; sh -c "echo \"press ^M\"; read -r line && echo \"got <\$line>\""' >out 2>err
out_has 'got <>'

scene 'as the first process of a container'
if unshare -pf true 2>/dev/null; then
    claim busy --lease 1h
    unshare -pf --mount-proc sh -c 'echo >ready; exec "$0" run busy --wait 10m -- true' "$idem" >out 2>err &
    waiting=$!
    background="$background $waiting"
    first=
    has_first() {
        first=$(ps -eo pid=,ppid= | awk -v parent="$waiting" '$2 == parent { print $1 }')
        [ -n "$first" ] && grep -q '^idem' "/proc/$first/comm"
    }
    eventually has_first
    catches_term() {
        sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$first/status" | grep -q '[4567cdef]...$'
    }
    eventually catches_term
    kill -TERM "$first"
    wait "$waiting"
    [ $? -eq 143 ] || fail 'TERM is ignored while it waits'
    unshare -pf --mount-proc "$idem" run first -- sh -c \
        'i=0; while [ $i -lt 5 ]; do (sleep 0.01 & sleep 0 &); i=$((i + 1)); done; sleep 0.5
        ps -eo stat= | grep -c Z' >out 2>err
    out_is 0
    unshare -pf --mount-proc "$idem" run first2 -- sh -c 'kill -TERM $$' >out 2>err
    [ $? -eq 143 ] || fail 'it has ended in another way'
fi
