#!/bin/sh
# SPDX-License-Identifier: MIT
# `idem run --tty`: CMD has a terminal of its own, and idem's has its modes back however idem ends. $2 runs a
# program on a terminal and presses the keys that it asks for; what it runs is mostly a script that runs idem.
# shellcheck disable=SC2016
. "$(dirname "$0")/helper.sh"

export idem dir

# on_terminal CODE SCRIPT: runs a script on a terminal, in $dir, with its output in out and err.
on_terminal() {
    rm -f "$dir/ready"
    "$helper" sh -c "$2" >"$dir/out" 2>"$dir/err"
    got=$?
    [ "$got" -eq "$1" ] || fail "it ended with $got, not with $1"
}

# For CMDs that wait for a key or a signal: not for ever.
cat >"$dir/linger" <<'END'
i=0
while [ $i -lt 400 ]; do
    i=$((i + 1))
    sleep 0.05
done
END

scene 'CMD has a terminal, in a session of its own, and what it prints is stored and replayed'
cat >"$dir/leader" <<'END'
test -t 0 && test -t 1 && echo yes
read -r _ _ _ _ _ session _ <"/proc/$$/stat"
[ "$session" = $$ ] && echo leads
END
on_terminal 0 '"$idem" run --tty seen -- sh leader'
out_is 'yes
leads'
expect 0 run seen -- false
out_is 'yes
leads'

scene 'stderr is on it too, or goes where it was sent'
on_terminal 0 'exec 2>&1; "$idem" run --tty both -- sh -c "test -t 2 && echo yes >&2"'
out_is 'yes'
on_terminal 0 '"$idem" run --tty apart -- sh -c "echo out; test -t 2 || echo no >&2" 2>apart'
out_is 'out'
[ "$(cat apart)" = no ] || fail 'stderr went elsewhere'

scene 'line ends are those of a terminal'
on_terminal 0 'stty opost onlcr; "$idem" run --tty ends -- echo line'
"$idem" run ends -- false >out || fail 'it is not replayed'
printf 'line\r\n' | cmp -s - out || fail 'the bytes are others'

scene 'the size is that of the terminal, and a change is passed on'
on_terminal 0 'stty rows 33 cols 77; "$idem" run --tty size -- stty size'
out_is '33 77'
on_terminal 0 'exec 3<&0; stty rows 33 cols 77
    "$idem" run --tty change -- sh -c "trap \"stty size; exit 0\" WINCH; echo >ready; . ./linger" <&3 &
    until [ -e ready ]; do sleep 0.05; done
    stty rows 40 cols 90 <&3; wait $!'
out_is '40 90'

scene 'keys are of CMD alone: ^C, ^Z, ^D'
on_terminal 7 '"$idem" run --tty int -- sh -c "trap \"echo got INT; exit 7\" INT; echo \"press ^C\"; . ./linger"'
out_has 'got INT'
on_terminal 0 '"$idem" run --tty tstp -- sh -c "trap \"echo got TSTP; exit 0\" TSTP; echo \"press ^Z\"; . ./linger"'
out_has 'got TSTP'
on_terminal 0 '"$idem" run --tty eof -- sh -c "echo \"press ^D\"; cat; echo end"'
out_has 'end'

scene 'a CMD that dies of ^C: idem dies of it, and the key is given back'
"$helper" "$idem" run --tty died -- sh -c 'echo "press ^C"; . ./linger' >out 2>err
[ $? -eq 130 ] || fail 'it did not die of INT'
expect 14 get died

# Each script compares the modes at its end with those at its beginning, and says when they were others.
start_modes='before=$(stty -g)
same() { [ "$(stty -g <&3)" = "$before" ]; }
eventually() { tries=0; until "$@"; do tries=$((tries + 1)); [ $tries -lt 600 ] || exit 99; sleep 0.05; done; }
other() { ! same; }
exec 3<&0'

scene 'the modes are others while CMD runs, and as they were behind it'
on_terminal 3 "$start_modes"'
"$idem" run --tty modes -- sh -c "echo >ready; until [ -e enough ]; do sleep 0.05; done; exit 3" <&3 &
eventually [ -e ready ]; eventually other; echo >enough; wait $!; code=$?
same || echo "changed"; exit $code'
out_lacks changed

scene 'idem that is told to end gives them back'
on_terminal 0 "$start_modes"'
rm -f ready
"$idem" run --tty term -- sh -c "echo >ready; exec sleep 100" <&3 2>said &
eventually [ -e ready ]; eventually other; kill -TERM $!; wait $!
same || echo "changed"'
out_lacks changed

scene 'a signal for idem and its whole group is passed on to CMD, which is in no group of theirs'
on_terminal 0 "$start_modes"'
rm -f ready
trap : TERM
"$idem" run --tty group -- sh -c "trap \"echo got TERM; exit 4\" TERM; echo >ready; . ./linger" <&3 2>said &
eventually [ -e ready ]; eventually other; kill -TERM 0; wait $!; wait $!
same || echo "changed"'
out_has 'got TERM'
out_lacks changed

scene 'idem that is killed has them given back by its keeper'
on_terminal 0 "$start_modes"'
rm -f ready
"$idem" run --tty kill -- sh -c "echo >ready; exec sleep 100" <&3 &
eventually [ -e ready ]; eventually other; kill -KILL $!; wait $!; eventually same'

scene 'idem that is stopped gives them back until it goes on'
cat >"$dir/stopper" <<'END'
# CMD: stops idem, its parent's parent, and ends once that goes on.
read -r _ _ _ idem _ <"/proc/$PPID/stat"
kill -TSTP "$idem"
until [ -e go ]; do sleep 0.05; done
echo done
END
"$helper" sh -mc "$start_modes"'
"$idem" run --tty stop -- sh stopper
same && echo "given back"
echo >go
fg >job
same && echo "again"' >out 2>err
out_has 'given back'
out_has 'done'
out_has 'again'

scene 'messages while the terminal is raw begin at the beginning of a line'
on_terminal 124 'exec 2>&1; "$idem" run --tty --max-time 200ms late -- sleep 100'
tr '\r' '@' <out >shown
grep -q '^idem: the command has not ended.*@$' shown || fail 'there is no carriage return'

scene 'without a terminal CMD gets pipes, which is said'
expect 0 run --tty piped -- sh -c 'test -t 1 || echo none' </dev/null
out_is none
err_has '--tty: stdin and stdout are not a terminal'
expect 0 run --tty --quiet silent -- true </dev/null
err_is_empty
exit 0
