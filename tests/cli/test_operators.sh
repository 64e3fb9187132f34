#!/bin/sh
# SPDX-License-Identifier: MIT
# What operators do when an owner has crashed, or when something is wrong in a store: settle, forget,
# ls --stuck, ls of what is corrupt. And looking makes nothing and changes nothing.
# shellcheck disable=SC2016 # what is in single quotes is for CMD, or a name
. "$(dirname "$0")/helper.sh"

# crashed KEY OPTIONS…: a claim whose lease has run out.
is_stuck() {
    "$idem" get "$1" | grep -q '"lease_left_ms":0,'
}
crashed() {
    claim "$@" --lease 10ms
    eventually is_stuck "$1"
}

# ------------------------------------------------------------------------------------- settle

scene 'settle: a key that is absent, that has a live owner, that is completed'
make_store
expect 14 settle absent '{}'
err_has absent
claim live --lease 1h
expect 13 settle live '{}'
err_has live
expect 11 begin live
expect 0 complete live --token "$token" 1
expect 13 settle live '{}'
err_has completed
expect 10 begin live
out_is '{"outcome":"completed","response":1}'

scene "settle: the operator's answer is what everybody gets, and the late owner is told"
crashed doubt
late=$token
expect 15 begin doubt --no-takeover
expect 0 settle doubt '{"by": "hand"}'
out_is '{"settled":true}'
err_is_empty
expect 10 begin doubt
out_is '{"outcome":"completed","response":{"by": "hand"}}'
expect 13 complete doubt --token "$late" 2
expect 10 begin doubt
out_has hand

scene 'settle: JSON from stdin, and what is none'
crashed stdin
for text in '{' '' 'nul' '1 2'; do
    expect 65 settle stdin -- "$text"
done
"$idem" settle stdin </dev/null >out 2>err
[ $? -eq 65 ] || fail 'an empty stdin was taken'
echo '{"a":1}' | "$idem" settle stdin >out 2>err || fail 'settle'
expect 10 begin stdin
out_has '{"a":1}'
crashed negative
expect 0 settle negative -5

scene 'settle: what idem run replays'
for code in 0 7 255; do
    crashed "run $code" --ttl 1h
    expect 0 settle "run $code" --exit "$code"
    expect "$code" run "run $code" -- touch made
    out_is_empty
    err_is_empty
done
crashed 'run with output'
printf 'out\377\n' >o
printf 'err\000' >e
expect 0 settle 'run with output' --exit 3 --stdout o --stderr e
expect 3 run 'run with output' -- touch made
same out o
same err e
crashed 'run by pipe'
printf hi | "$idem" settle 'run by pipe' --exit 0 --stdout /dev/stdin >out 2>err || fail 'settle'
expect 0 run 'run by pipe' -- touch made
printf hi | cmp -s - out || fail 'the output is not replayed'
[ ! -e made ] || fail 'CMD was run'

scene 'settle: a run that does not fit, and wrong usage'
crashed wrong
for code in -1 256 1000 x '' 1.5 0x1 ' 1'; do
    expect 64 settle wrong "--exit=$code"
    err_has '0 to 255'
done
expect 64 settle wrong --exit 0 '{}'
expect 64 settle wrong --stdout o
err_has '--exit'
expect 64 settle wrong --stderr o '{}'
expect 65 settle wrong --exit 0 --stdout absent
err_has 'No such file'
expect 65 settle wrong --exit 0 --stdout "$dir"
head -c 3000000 /dev/zero >large
expect 65 settle wrong --exit 0 --stdout large
err_has '2097152'
"$idem" settle wrong --exit 0 --stdout /dev/zero >out 2>err
[ $? -eq 65 ] || fail 'an endless file was taken'
expect 15 begin wrong --no-takeover

scene 'what run says of a key in doubt names settle'
expect 75 run wrong --no-takeover -- touch made
err_has "'idem settle'"

# ------------------------------------------------------------------------------------- forget

scene 'forget --expired: only what nobody lives for'
expect 0 forget absent --expired
out_is '{"forgotten":true}'
expect 13 forget live --expired
err_has completed
claim alive --lease 1h
expect 13 forget alive --expired
out_is_empty
expect 11 begin alive
expect 0 forget wrong --expired
expect 14 get wrong
expect 64 forget wrong --expired --force
err_has 'exclude each other'

# --------------------------------------------------------------------------------- ls --stuck

scene 'ls --stuck: unfinished, and the lease has run out'
expect 0 ls --stuck
out_is_empty
crashed stuck/1
crashed stuck/2
crashed other
expect 0 ls --stuck
lines_are 3 out
expect 0 ls --stuck --prefix stuck/
lines_are 2 out
out_has '"lease_left_ms":0'
expect 0 ls --stuck --limit 1
lines_are 1 out
expect 0 ls --stuck --status in_progress
lines_are 3 out
expect 64 ls --stuck --status completed
expect 0 ls --limit 2
lines_are 2 out

# ----------------------------------------------------------------------------- JSON in one line

scene 'one record, one line: checkpoints and keys with line breaks'
crashed lines
claim "$(printf 'two\nlines')"
printf '{"a":\r\n [1,\n\n2]\r}\n' | "$idem" checkpoint "$(printf 'two\nlines')" --token "$token" >out || fail 'checkpoint'
expect 0 ls
count=$("$idem" ls --status in_progress | grep -c '')
[ "$count" -eq "$("$idem" ls --status in_progress | grep -c '^{"key.*}$')" ] || fail 'a record has several lines'
out_has '"checkpoint":{"a":   [1,  2] }}'
expect 0 get "$(printf 'two\nlines')"
lines_are 1 out
if command -v jq >/dev/null 2>&1; then
    "$idem" ls | jq -e . >/dev/null || fail 'ls is no JSON'
    [ "$("$idem" ls | jq -c 'select(.checkpoint) | .checkpoint')" = '{"a":[1,2]}' ] || fail 'the value has changed'
fi

# ------------------------------------------------------------------------------- what is corrupt

scene 'ls lists what begin calls corrupt, and only --force removes it'
claim broken
claim "$(printf 'broken\377')"
sqlite3 "$dir/store.db" "UPDATE idem_record SET token = x'00' WHERE CAST(key AS TEXT) LIKE 'broken%'" || fail 'sqlite3'
expect 65 begin broken
expect 65 get broken
err_has '--force'
expect 0 ls --prefix broken
lines_are 2 out
out_has '{"key":"broken","status":"corrupt"}'
out_has '{"key_hex":"62726f6b656eff","status":"corrupt"}'
expect 0 ls --status corrupt
lines_are 2 out
expect 65 forget broken
expect 65 forget broken --expired
expect 65 settle broken 1
expect 0 ls --status corrupt
lines_are 2 out
expect 0 forget broken --force
expect 0 forget --force --key-hex 62726f6b656eff
expect 0 ls --status corrupt
out_is_empty
expect 0 begin broken

# -------------------------------------------------------------------------------------- looking

scene 'looking at a store that is not there makes none, and says so'
for look in 'get k' 'ls' 'ls --stuck' 'doctor' 'purge' 'forget k' 'forget k --force' \
    'forget k --expired' 'settle k 1' 'settle k --exit 0'; do
    # shellcheck disable=SC2086
    expect 69 $look --store "sqlite://$dir/typo.db"
    out_is_empty
    err_has 'typo.db'
    [ ! -e "$dir/typo.db" ] || fail "'$look' has made the file"
    (
        unset IDEM_STORE
        # shellcheck disable=SC2086
        HOME=$dir/nobody expect 69 $look
        err_has 'nobody/.local/state/idem/idem.db'
        err_has 'is not there'
        lines_are 1 err
    ) || exit 1
    [ ! -e "$dir/nobody" ] || fail "'$look' has made a folder"
done

scene 'looking needs the right to read alone, and leaves files and folder as they are'
mkdir frozen
frozen="sqlite://$dir/frozen/x.db"
claim seen --store "$frozen" --ttl 1h
expect 0 complete seen --store "$frozen" --token "$token" '"response"'
chmod 644 frozen/x.db
chmod 755 "$dir"
chmod 555 frozen
as_nobody=
[ "$(id -u)" != 0 ] || as_nobody='setpriv --reuid 65534 --regid 65534 --clear-groups'
for look in 'get seen' ls 'ls --stuck'; do
    # shellcheck disable=SC2086
    $as_nobody "$idem" $look --store "$frozen" >out 2>err || fail "'$look' has failed"
done
$as_nobody "$idem" begin seen --store "$frozen" >out 2>err
[ $? -eq 10 ] || fail 'begin does not replay'
[ "$(ls -A frozen)" = x.db ] || fail 'something was made'
chmod 755 frozen
