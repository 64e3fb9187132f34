#!/bin/sh
# SPDX-License-Identifier: MIT
# The operators' view: get, forget, ls, purge.
. "$(dirname "$0")/helper.sh"

time='"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"'
head_of_record="\"attempt\":1,\"created_at\":$time,\"updated_at\":$time"

scene 'get: not found'
expect 14 get absent
out_is_empty
err_has 'absent'

scene 'get: in progress, never with the token'
claim one --fingerprint AB --lease 10s --ttl 1h
expect 0 checkpoint one --token "$token" '{"at":1}'
expect 0 get one
lines_are 1 out
out_matches "^\\{\"key\":\"one\",\"status\":\"in_progress\",$head_of_record,\"lease_left_ms\":(10000|[0-9]{4}),\"expires_in_ms\":3[56][0-9]{5},\"fingerprint\":\"4142\",\"checkpoint\":\\{\"at\":1\\}\\}\$"
out_lacks "$token"

scene 'get: completed'
expect 0 complete one --token "$token" '{"a": 1.0}'
expect 0 get one
out_matches "^\\{\"key\":\"one\",\"status\":\"completed\",$head_of_record,\"lease_left_ms\":0,\"expires_in_ms\":3[56][0-9]{5},\"fingerprint\":\"4142\",\"response\":\\{\"a\": 1.0\\}\\}\$"
out_lacks "$token"

scene 'keys that are no plain text'
for pair in "$(printf 'line\nbreak')|\"key\":\"line\\nbreak\"" \
    "$(printf 'quote"back\\tab\t')|\"key\":\"quote\\\"back\\\\tab\\t\"" \
    'ключ|"key":"ключ"' \
    "$(printf 'esc\033[2J')|\"key\":\"esc\\u001b[2J\"" \
    "$(printf 'csi\302\2332J')|\"key\":\"csi\\u009b2J\"" \
    "$(printf 'del\177')|\"key\":\"del\\u007f\"" \
    "$(printf 'bad\377')|\"key_hex\":\"626164ff\"" \
    "$(printf 'long\300\200')|\"key_hex\":\"6c6f6e67c080\"" \
    "$(printf 'half\355\240\200')|\"key_hex\":\"68616c66eda080\"" \
    "$(printf 'far\364\220\200\200')|\"key_hex\":\"666172f4908080\"" \
    "$(printf 'cut\342\202')|\"key_hex\":\"637574e282\""; do
    key=${pair%|*}
    expect 0 begin "$key"
    expect 0 get "$key"
    out_has "{${pair##*|},"
    expect 0 ls
    out_has "{${pair##*|},"
    expect 0 forget "$key"
done

scene 'forget'
claim gone
expect 0 forget gone
out_is '{"forgotten":true}'
expect 14 get gone
expect 0 forget gone
expect 14 complete gone --token "$token" 1
expect 0 begin gone
expect 13 complete gone --token "$token" 1
expect 0 forget gone

scene 'ls: one JSON text for each, without the responses'
expect 0 forget one
expect 0 ls
out_is_empty
for key in a/1 a/2 a/3 b/1; do
    claim "$key" --lease 1h
done
expect 0 complete b/1 --token "$token" '{"secret":"response"}'
expect 0 ls
lines_are 4 out
out_matches "^\\{\"key\":\"a/1\",\"status\":\"in_progress\",$head_of_record,\"lease_left_ms\":[0-9]+,\"expires_in_ms\":[0-9]+\\}\$"
out_matches "^\\{\"key\":\"b/1\",\"status\":\"completed\",$head_of_record,\"lease_left_ms\":0,\"expires_in_ms\":[0-9]+,\"response_bytes\":21\\}\$"
out_lacks secret
out_lacks "$token"

scene 'ls: by prefix, status and number'
expect 0 ls --prefix a/
lines_are 3 out
expect 0 ls --prefix a/ --limit 2
lines_are 2 out
expect 0 ls --status completed
lines_are 1 out
out_has '"b/1"'
expect 0 ls --status in_progress
lines_are 3 out
expect 0 ls --prefix nothing
out_is_empty

scene 'ls: only what is below the prefix of the store'
expect 0 --store "$IDEM_STORE?prefix=tenant:" begin k
expect 0 --store "$IDEM_STORE?prefix=tenant:" ls
lines_are 1 out
out_has '"key":"k"'
expect 0 forget tenant:k

scene 'ls: to a reader that has seen enough'
i=0
while [ "$i" -lt 60 ]; do
    expect 0 begin "many/$i-$(printf '%0900d' 1)"
    i=$((i + 1))
done
"$idem" ls 2>err | head -n 1 >out
lines_are 1 out
err_is_empty

scene 'ls: to a full disk'
if [ -e /dev/full ]; then
    "$idem" ls >/dev/full 2>err
    [ $? -eq 70 ] || fail 'a list that got lost was no failure'
    err_has 'stdout'
fi

scene 'ls: as a table on a terminal'
"$helper" "$idem" ls --prefix a/ >out 2>err || fail 'ls on a terminal has failed'
lines_are 4 out
out_matches '^STATUS +ATTEMPT +UPDATED +LEASE LEFT +EXPIRES IN +RESPONSE +KEY'
out_matches '^in_progress +1  [0-9T:.-]+Z +[0-9ms]+ +(1d0h|24h[0-9]+m) +0  "a/[123]"'

scene 'purge'
expect 0 purge
out_matches '^\{"removed":[0-9]+\}$'
for key in p/1 p/2 p/3; do
    expect 0 begin "$key" --lease 10ms --ttl 10ms
done
sleep 0.05
expect 0 purge
out_matches '^\{"removed":[1-3]\}$'
expect 0 purge
out_is '{"removed":0}'
expect 11 begin a/1
