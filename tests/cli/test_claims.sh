#!/bin/sh
# SPDX-License-Identifier: MIT
# begin, complete, renew, checkpoint, release: every outcome, with its answer and its exit code.
. "$(dirname "$0")/helper.sh"

other=0123456789abcdef0123456789abcdef

scene 'begin: new, then in progress'
claim k
err_is_empty
lines_are 1 out
out_is "{\"outcome\":\"new\",\"token\":\"$token\",\"attempt\":1}"
expect 11 begin k
err_is_empty
out_matches '^{"outcome":"in_progress","retry_after_ms":[0-9]+}$'

scene 'begin again as the same caller'
expect 0 begin k --token "$token"
out_is "{\"outcome\":\"new\",\"token\":\"$token\",\"attempt\":1}"
expect 0 begin mine --token "$other"
out_has "$other"

scene 'complete, and the response byte for byte'
expect 0 complete k --token "$token" '{"b": 1.0, "a":[1e2,18446744073709551616,"\u0000é"] }'
out_is '{"completed":true}'
expect 10 begin k
out_is '{"outcome":"completed","response":{"b": 1.0, "a":[1e2,18446744073709551616,"\u0000é"] }}'
expect 10 begin k --token "$token"

scene 'complete may be repeated; what is stored stays'
expect 0 complete k --token "$token" 2
expect 10 begin k
out_has '1e2'

scene 'JSON from stdin, line breaks included'
claim stdin
printf '{\n "a": 1\n}\n' >text
"$idem" complete stdin --token "$token" <text >out 2>err || fail 'complete has failed'
out_is '{"completed":true}'
err_is_empty
expect 10 begin stdin
printf '{"outcome":"completed","response":{\n "a": 1\n}\n}\n' >want
same out want

scene 'JSON that is none is refused, and the claim stays'
claim bad
for text in '{' '' 'nul' '[1,]' "'a'" '1 2' "$(printf '"\377"')"; do
    expect 65 complete bad --token "$token" -- "$text"
    out_is_empty
    [ -s err ] || fail 'nothing is said'
done
printf '{"a":' | "$idem" complete bad --token "$token" >out 2>err
[ $? -eq 65 ] || fail 'half a JSON text from stdin was taken'
"$idem" complete bad --token "$token" </dev/null >out 2>err
[ $? -eq 65 ] || fail 'an empty stdin was taken'
expect 0 complete bad --token "$token" -- -1

scene 'too large, without reading for ever'
small="sqlite://$dir/small.db?max_response=1KiB"
claim --store "$small" large
yes 1 | timeout 120 "$idem" complete --store "$small" large --token "$token" >out 2>err
[ $? -eq 65 ] || fail 'endless input was not refused'
err_has '1024 bytes'
expect 65 complete --store "$small" large --token "$token" "[$(printf '%2000d' 1)]"
printf '%1024s' 1 | "$idem" complete --store "$small" large --token "$token" >out 2>err ||
    fail 'what just fits was refused'

scene 'a file of any bytes, as it is'
claim bytes
printf '\0\377\n"' >image
expect 0 complete bytes --token "$token" --file image
out_is '{"completed":true}'
err_is_empty
expect 10 begin bytes
out_is '{"outcome":"completed","response_base64":"AP8KIg=="}'
expect 0 get bytes
out_has '"response_base64":"AP8KIg=="'
err_is_empty
claim stdin-bytes
"$idem" complete stdin-bytes --token "$token" --file - <image >out 2>err || fail 'complete has failed'
expect 10 begin stdin-bytes
out_is '{"outcome":"completed","response_base64":"AP8KIg=="}'

scene 'a file is bytes even if it is JSON, or empty'
claim json-file
printf '{"a":1}' >text
expect 0 complete json-file --token "$token" --file text
expect 10 begin json-file
out_is '{"outcome":"completed","response_base64":"eyJhIjoxfQ=="}'
claim empty-file
expect 0 complete empty-file --token "$token" --file /dev/null
expect 10 begin empty-file
out_is '{"outcome":"completed","response_base64":""}'
expect 0 get empty-file
out_has '"response_base64":""}'

scene 'a file that can not be taken leaves the claim'
claim no-file
expect 65 complete no-file --token "$token" --file absent
err_has '"absent" of --file'
expect 65 complete no-file --token "$token" --file .
expect 64 complete no-file --token "$token" --file text '{}'
err_has 'exclude each other'
claim --store "$small" no-file-here
"$idem" complete --store "$small" no-file-here --token "$token" --file /dev/zero >out 2>err
[ $? -eq 65 ] || fail 'an endless file was not refused'
err_has '1024 bytes'
expect 13 complete no-file --token "$other" --file text
expect 14 complete absent --token "$other" --file text
expect 0 complete --store "$small" no-file-here --token "$token" --file text

scene 'another token is lost, another key not found'
claim lost
for command in complete checkpoint; do
    expect 13 "$command" lost --token "$other" 1
    out_is_empty
    err_lacks "$other"
    expect 14 "$command" absent --token "$other" 1
done
expect 13 renew lost --token "$other"
expect 14 renew absent --token "$other"
expect 0 renew lost --token "$token"

scene 'the token may come from the environment'
IDEM_TOKEN=$token expect 0 renew lost
IDEM_TOKEN=$other expect 13 renew lost
IDEM_TOKEN=$other expect 0 renew lost --token "$token"

scene 'renew sets the lease'
expect 0 renew lost --token "$token" --lease 2h
out_is '{"renewed":true}'
expect 11 begin lost
out_matches '"retry_after_ms":7[12][0-9]{5}}'

scene 'a completed claim cannot be renewed'
expect 0 complete lost --token "$token" true
expect 13 renew lost --token "$token"
expect 13 checkpoint lost --token "$token" 1

scene 'release gives the key back, and may be repeated'
claim back
expect 0 release back --token "$other"
expect 11 begin back
expect 0 release back --token "$token"
out_is '{"released":true}'
expect 0 release back --token "$token"
expect 0 begin back
out_has '"attempt":1'
expect 0 release absent --token "$other"

scene 'takeover, with attempt and checkpoint'
claim crash --lease 300ms
expect 0 checkpoint crash --token "$token" '{"done": 2}'
out_is '{"checkpointed":true}'
echo '{"done": 3}' | "$idem" checkpoint crash --token "$token" >out 2>err || fail 'checkpoint'
first=$token
sleep 0.4
expect 15 begin crash --no-takeover
out_is '{"outcome":"in_doubt","attempt":1,"checkpoint":{"done": 3}}'
claim crash --lease 300ms
out_is "{\"outcome\":\"new\",\"token\":\"$token\",\"attempt\":2,\"checkpoint\":{\"done\": 3}}"
expect 13 complete crash --token "$first" 1
expect 0 checkpoint crash --token "$token" ''
sleep 0.4
expect 15 begin crash --no-takeover
out_is '{"outcome":"in_doubt","attempt":2}'
expect 0 complete crash --token "$token" '"late, but nobody took it over"'

scene 'fingerprints'
expect 0 begin print --fingerprint one
expect 12 begin print --fingerprint two
out_is '{"outcome":"mismatch"}'
expect 11 begin print --fingerprint one
expect 11 begin print
expect 0 begin other --fingerprint "$(printf '%065d' 1)"
expect 11 begin other --fingerprint "$(printf '%065d' 1)"
expect 12 begin other --fingerprint "$(printf '%065d' 2)"

scene 'wait for a key that is in progress'
claim slow
(sleep 0.4 && "$idem" complete slow --token "$token" '"done"' >/dev/null) &
expect 10 begin slow --wait 10s
out_is '{"outcome":"completed","response":"done"}'
wait
claim slower
expect 11 begin slower --wait 300ms

scene 'retention'
ttl=2
kept=no
while [ "$kept" = no ] && [ "$ttl" -le 32 ]; do # for longer if the machine was late
    claim short
    expect 0 complete short --token "$token" 1 --ttl "${ttl}s"
    if "$idem" begin short >out 2>err || [ $? -ne 10 ]; then
        expect 0 forget short
        ttl=$((ttl * 2))
    else
        kept=yes
    fi
done
[ "$kept" = yes ] || fail 'it was not kept'
gone() {
    "$idem" begin short >out 2>err
    [ $? -ne 10 ]
}
eventually gone
out_has '"outcome":"new"'
expect 0 begin shorter --ttl 100ms --lease 100ms
sleep 0.2
expect 14 get shorter

scene 'keys of any bytes but NUL, up to 1,024'
for key in 'a b' "$(printf 'line\nbreak')" 'ключ' "$(printf 'bad\377utf8')" "$(printf '%01024d' 1)"; do
    claim "$key"
    expect 0 complete "$key" --token "$token" '[]'
    expect 10 begin "$key"
done
expect 65 begin "$(printf '%01025d' 1)"
[ -s err ] || fail 'nothing is said'

scene 'a new claim that could not be told is given back'
if [ -e /dev/full ]; then
    "$idem" begin untold >/dev/full 2>err
    [ $? -eq 70 ] || fail 'a lost answer was no failure'
    err_has 'stdout'
    expect 14 get untold
    claim untold2 --lease 100ms
    sleep 0.2
    "$idem" begin untold2 >/dev/full 2>err
    expect 0 begin untold2 --wait 5s
    out_has '"attempt":3'
fi
