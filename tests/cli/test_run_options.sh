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
held=$token
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

scene 'a fingerprint of any length'
signature=sha256=$(printf '%064d' 7) # as GitHub sends it: 71 bytes
expect 0 run signed --fingerprint "$signature" -- true
expect 0 run signed --fingerprint "$signature" -- false
expect 65 run signed --fingerprint "$(printf 'sha256=%064d' 8)" -- false
expect 65 run signed --fingerprint "$signature " -- false
shown=$("$idem" get signed | sed -n 's/.*"fingerprint":"\([0-9a-f]*\)".*/\1/p')
want=$({ printf '\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0\107'; printf %s "$signature"; } | sha256sum)
[ "$shown" = "${want%% *}" ] || fail "it is not the hash that idem_fingerprint() gives: $shown"
expect 0 run whole --fingerprint "$(printf '%064d' 1)" -- true
expect 0 run whole --fingerprint-hex "$("$idem" get whole | sed 's/.*"fingerprint":"\([0-9a-f]*\)".*/\1/')" -- false
expect 65 run whole --fingerprint "$(printf '%063d' 1)" -- false

scene 'what get shows can be pasted back'
expect 0 run signed --fingerprint-hex "$shown" -- false
expect 10 begin signed --fingerprint-hex "$shown"
expect 12 begin signed --fingerprint-hex "${shown%??}00"
expect 64 run signed --fingerprint-hex "$shown" --fingerprint x -- touch made
for value in x 0 0g '' "$(printf '%0130d' 0)"; do
    expect 64 run signed "--fingerprint-hex=$value" -- touch made
done
claim "$(printf 'a\377')" --fingerprint "$(printf 'b\377')"
expect 0 ls --status in_progress --prefix a
hex=$(sed -n 's/.*"key_hex":"\([0-9a-f]*\)".*/\1/p' out)
expect 11 begin --key-hex "$hex" --fingerprint-hex 62ff
expect 0 renew --key-hex "$hex" --token "$token"
expect 0 checkpoint --key-hex "$hex" --token "$token" 1
expect 0 complete --key-hex "$hex" --token "$token" 2
expect 10 begin --key-hex "$hex"
expect 0 begin --key-hex 00
expect 0 release --key-hex 00 --token "$(sed 's/.*"token":"\([0-9a-f]*\)".*/\1/' out)"
expect 0 begin --key-hex 00

# report_is LINE: what the last run has left in report.json.
report_is() {
    printf '%s\n' "$1" | cmp -s - report.json || fail "the report is: $(cat report.json)"
    rm report.json
}

scene '--report tells what happened'
expect 0 run reported --report report.json -- echo out
out_is out
report_is '{"outcome":"new","key":"reported","attempt":1,"ran":true,"stored":true,"timed_out":false,"claim_lost":false,"exit":0}'
echo stale >report.json
expect 0 run reported --report report.json -- echo out
report_is '{"outcome":"completed","key":"reported","ran":false,"exit":0}'
expect 75 run held --report "$dir/report.json" -- true
grep -qx '{"outcome":"in_progress","key":"held","retry_after_ms":[0-9]*,"ran":false,"exit":75}' report.json ||
    fail "the report is: $(cat report.json)"
expect 0 run printed --fingerprint a -- true
expect 65 run printed --fingerprint b --report report.json -- true
report_is '{"outcome":"mismatch","key":"printed","ran":false,"exit":65}'
expect 0 renew held --token "$held" --lease 1ms
sleep 0.1
expect 75 run held --no-takeover --report report.json -- true
report_is '{"outcome":"in_doubt","key":"held","attempt":1,"ran":false,"exit":75}'
expect 69 run --store sqlite:///no/such/folder/x.db down --report report.json -- touch made
report_is '{"outcome":"error","key":"down","ran":false,"exit":69}'
expect 124 run held --max-time 100ms --report report.json -- sleep 60
report_is '{"outcome":"new","key":"held","attempt":2,"ran":true,"stored":false,"timed_out":true,"claim_lost":false,"exit":124}'
expect 143 run "$(printf 'a"\377')" --report report.json -- sh -c 'kill $$'
report_is '{"outcome":"new","key_hex":"6122ff","attempt":1,"ran":true,"stored":false,"timed_out":false,"claim_lost":false,"signal":15,"exit":143}'
expect 127 run absent --report report.json -- ./no-such-program
report_is '{"outcome":"new","key":"absent","attempt":1,"ran":false,"exit":127}'
[ -z "$(find . -name '.idem-report*')" ] || fail 'a draft is left behind'

scene 'it is new in each run, and a link to it stays'
mkdir place
ln -s place/real.json report.link
: >place/real.json
expect 0 run reported --report report.link -- true
[ -L report.link ] || fail 'the link was replaced'
grep -q completed place/real.json || fail 'the report is elsewhere'
start run running --report place/real.json -- sh -c 'echo >is-running; while [ ! -e go ]; do sleep 0.05; done'
eventually test -e is-running
[ ! -e place/real.json ] || fail 'that of the last run is still there'
: >go
ended 0
[ "$(stat -c %a place/real.json)" = 644 ] || fail 'it has not the mode of a new file'

scene 'to a descriptor, that CMD does not get, and to a FIFO'
"$idem" run descriptor --report /dev/fd/7 -- sh -c 'echo x >&7' 7>report.json 2>err && fail 'CMD has it'
grep -q '"ran":true' report.json || fail 'there is no report'
"$idem" run descriptor --report /dev/fd/7 -- true 7>&1 >out 2>err | grep -q '"ran":true' || fail 'nothing came'
expect 0 run reported --report /dev/stderr -- true
err_has '"outcome":"completed"'
mkfifo fifo
cat fifo >report.json &
background="$background $!"
expect 0 run reported --report fifo -- true
wait $!
report_is '{"outcome":"completed","key":"reported","ran":false,"exit":0}'

scene 'a reader that goes away, and no place for it'
start run gone --report fifo -- sh -c 'while [ ! -e go-on ]; do sleep 0.05; done'
: <fifo
: >go-on
ended 70
err_has "the report can't be written"
expect 0 run gone -- touch made
for name in "$dir" no/such/folder/report '' /dev/fd/99; do
    expect 64 run unplaced "--report=$name" -- touch made
    lines_are 2 err
    expect 14 get unplaced
done
[ ! -e made ] || fail 'it was run'

scene 'sockets of a service manager are for CMD'
# activate ARGUMENTS…: becomes idem, with descriptor 3 passed to it as systemd does it.
activate() {
    sh -c 'LISTEN_PID=$$ LISTEN_PIDFDID=17 LISTEN_FDS=1 LISTEN_FDNAMES=x exec "$@"' sh "$idem" "$@" 3<passed
}
echo 'through the socket' >passed
activate run sockets -- sh -c '[ "$LISTEN_PID" = $$ ] && [ -z "${LISTEN_PIDFDID-}" ] && echo "$LISTEN_FDS $LISTEN_FDNAMES" && cat <&3' \
    >out 2>err || fail 'CMD does not get them'
printf '1 x\nthrough the socket\n' >want
same out want
LISTEN_PID=1 LISTEN_FDS=1 LISTEN_PIDFDID=17 expect 0 run others -- sh -c 'echo "$LISTEN_PID $LISTEN_PIDFDID"'
out_is '1 17'

scene 'a keeper that is killed as soon as CMD is there: CMD is known nevertheless, and nobody else is signalled'
cat >killers.sh <<'END'
trap 'exit 99' TERM
for i in 1 2 3 4 5 6 7 8 9 10; do
    "$1" run "killer $i" -- sh -c 'kill -KILL $PPID; exec sleep 60' >/dev/null 2>&1
    code=$?
    [ $code -eq 143 ] || exit 98
done
END
setsid -w sh killers.sh "$idem" || fail 'the group of idem was signalled, or CMD was not'

scene 'wrong values'
for value in 256 -1 x ''; do
    expect 64 run wrong "--busy-exit=$value" -- touch made
done
for value in 0s 5 x ''; do
    expect 64 run wrong "--max-time=$value" -- touch made
done
[ ! -e made ] || fail 'it was run'
