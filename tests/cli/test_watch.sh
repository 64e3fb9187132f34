#!/bin/sh
# SPDX-License-Identifier: MIT
# `idem watch`: what it counts, how it is shown, that a large store is read in portions, and that it leaves a
# terminal as it was. $2 runs a program on a terminal.
. "$(dirname "$0")/helper.sh"

export idem dir
enter=$(printf '\033[?1049h')
leave=$(printf '\033[?1049l')

# number NAME: of the last line of JSON in out.
number() {
    tail -n 1 "$dir/out" | sed -n "s/.*\"$1\":\([a-z0-9]*\).*/\1/p"
}
is() {
    [ "$(number "$1")" = "$2" ] || fail "$1 is not $2"
}

scene 'a store that does not exist is not made'
expect 69 watch --count 1
[ ! -e store.db ] || fail 'it was made'

scene 'each state is counted, as are the rates of the last minute'
expect 0 begin at-work
expect 0 begin stuck --lease 1ms
expect 0 run finished -- true
expect 0 run finished-too -- true
eventually sh -c '"$idem" ls --stuck | grep -q stuck'
expect 0 watch --count 1 --json
lines_are 1 out
jq -e . <out >/dev/null || fail 'no JSON'
is whole true
is records 4
is in_progress 2
is stuck 1
is completed 2
is corrupt 0
is begun_per_min 4
is completed_per_min 2
[ "$(number oldest_ms)" -gt 0 ] || fail 'nothing is old'
"$idem" get at-work >before
expect 0 watch --count 1 --json --prefix finished
is records 2
is oldest_ms 0

scene 'piped: a line for each refresh, and nothing for a terminal'
expect 0 watch --count 3 --interval 10ms
lines_are 3 out
out_matches '^[0-9T:.Z-]+  in progress 2  stuck 1  completed 2  corrupt 0  begun 4/min  completed 2/min  oldest '
! grep -q "$(printf '\033')" out || fail 'there are escape sequences'

scene 'refreshes are an interval apart'
start=$(date +%s%3N)
expect 0 watch --count 3 --interval 200ms
[ $(($(date +%s%3N) - start)) -ge 400 ] || fail 'it was too quick'

scene 'a reader that goes away ends it'
"$idem" watch --interval 10ms | head -n 1 >out
lines_are 1 out

scene 'of a store that is larger than a portion each refresh reads a portion'
expect 0 bench --mode claim --ops 250 --keep
expect 0 watch --count 4 --interval 10ms --limit 100 --json
sed -n 's/.*"whole":\([a-z]*\),"records":\([0-9]*\),.*/\1 \2/p' out >portions
total=$("$idem" ls | wc -l)
printf '%s\n' 'false 100' 'false 200' "true $total" "true $total" | cmp -s - portions || fail "$(cat portions)"

scene 'ends by a signal, as it should'
start watch --interval 10ms
eventually [ -s started.out ]
kill -TERM "$started"
ended 143

scene 'a store that can not be read later on is said, and tried again'
start watch --interval 20ms --json
eventually [ -s started.out ]
mv store.db moved.db
eventually grep -q "can't be read" started.err
mv moved.db store.db
lines=$(wc -l <started.out)
eventually sh -c "[ \$(wc -l <started.out) -gt $((lines + 3)) ]"
kill -TERM "$started"
ended 143

# On a terminal: with the page, on a screen of its own, which is left however it ends.
scene 'on a terminal: a page, which is refreshed'
TERM=xterm "$helper" "$idem" watch --count 2 --interval 10ms >out 2>err || fail 'it failed'
out_has "$enter"
out_has '  stuck '
out_has "'idem ls --stuck' lists them"
[ "$(grep -c 'records' out)" -eq 2 ] || fail 'there were not two pages'
tail -n 1 out | cut -c 7- >last
grep -q '^.\[?1049l.*in progress' last || fail 'the last view does not stay'

scene 'a terminal that can do nothing gets lines'
TERM=dumb "$helper" "$idem" watch --count 2 --interval 10ms >out 2>err || fail 'it failed'
lines_are 2 out
! grep -q "$(printf '\033')" out || fail 'there are escape sequences'

scene 'the screen is left at a signal'
export TERM=xterm
cat >"$dir/drawn" <<'END'
# Waits until the program number $1 has written two pages to the terminal since it had written $2 bytes.
tries=0
until awk -v from="$2" '/^wchar/ { exit !($2 > from + 500) }' "/proc/$1/io"; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || exit 99
    sleep 0.05
done
awk '/^wchar/ { print $2 }' "/proc/$1/io" >"$dir/written"
END
# shellcheck disable=SC2016
"$helper" sh -c '"$idem" watch --interval 10ms & sh drawn $! 0; kill -TERM $!; wait $!; echo "[$?]"' >out 2>err
tail -n 1 out | grep -qF "${leave}[143]" || fail 'it is not left'
# shellcheck disable=SC2016
"$helper" sh -mc '(until [ -s pid ]; do sleep 0.05; done
    sh drawn $(cat pid) 0; kill -TSTP $(cat pid)
    sh drawn $(cat pid) $(cat written); kill -TERM $(cat pid)) &
    sh -c "echo \$\$ >pid; exec \"\$idem\" watch --interval 10ms"; echo "[$?]"; fg >job; echo "[$?]"' >out 2>err
grep -qF "${leave}[148]" out || fail 'it is not left when the program is stopped'
tail -n 1 out | grep -qF "${leave}[143]" || fail 'it is not left at the end'
[ "$(grep -oF "$enter" out | wc -l)" -eq 2 ] || fail 'it is not taken again'

scene 'nothing was changed'
"$idem" get at-work >after
[ "$(sed 's/_ms":[0-9]*//g; s/expires_in//; s/lease_left//' before)" = "$(sed 's/_ms":[0-9]*//g; s/expires_in//; s/lease_left//' after)" ] ||
    fail 'a record is another one'

scene 'a time that no clock has said'
far="sqlite://$dir/far.db"
expect 0 begin far --store "$far"
sqlite3 far.db 'UPDATE idem_record SET created_at_ms = -9223372036854775808' || fail 'sqlite3'
expect 0 watch --json --count 1 --store "$far"
out_matches '"oldest_ms":9[0-9]{18}}'
exit 0
