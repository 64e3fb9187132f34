#!/bin/sh
# SPDX-License-Identifier: MIT
# The operators' commands on a Redis server that other programs use too, and by a user who may only read.
# shellcheck disable=SC2016 # what is in single quotes is for CMD, or a name
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
. "$here/helper.sh"
server=${IDEM_REDIS_SERVER:-redis-server}
client=${IDEM_REDIS_CLI:-redis-cli}
command -v "$server" >/dev/null && command -v "$client" >/dev/null || {
    echo "there is no $server or no $client in PATH; install the packages redis-server and redis-tools"
    [ "${IDEM_SKIPS_FAIL:-}" = 1 ] && exit 1
    exit 77
}

# In a session of its own: it is stopped, and a group with a stopped member may be hung up.
setsid "$server" --port 0 --unixsocket "$dir/redis.sock" --save '' --dir "$dir" >redis.log 2>&1 &
redis=$!
background=$redis
export IDEM_STORE="redis+unix://$dir/redis.sock"
redis() {
    "$client" -s "$dir/redis.sock" "$@"
}
scene 'the server starts'
eventually test -S "$dir/redis.sock"
eventually redis ping >/dev/null

scene "another program's data is listed as corrupt, told so by get, and not forgotten"
redis rpush queue a b c >/dev/null
redis set text 'not json' >/dev/null
redis set json '{"some":"thing"}' >/dev/null
redis hset hash field value >/dev/null
redis sadd set member >/dev/null
redis set "$(printf 'bin\377')" x >/dev/null
claim ours
for key in queue text json hash set; do
    before=$(redis dump "$key")
    expect 65 get "$key"
    err_has "$key"
    err_has '--force'
    expect 65 forget "$key"
    out_is_empty
    err_has "$key"
    expect 65 forget "$key" --expired
    expect 65 settle "$key" 1
    expect 65 begin "$key"
    [ "$(redis dump "$key")" = "$before" ] || fail "$key was changed"
    expect 0 ls --prefix "$key"
    out_is "{\"key\":\"$key\",\"status\":\"corrupt\"}"
done
expect 0 ls --status corrupt
lines_are 6 out
out_has '{"key_hex":"62696eff","status":"corrupt"}'
expect 0 ls
lines_are 7 out
expect 0 ls --status in_progress
lines_are 1 out
"$helper" "$idem" ls >out 2>err || fail 'ls on a terminal'
out_matches '^corrupt +0  -  '

scene 'what is corrupt is removed on demand'
for key in queue text json hash set; do
    expect 0 forget "$key" --force
    out_is '{"forgotten":true}'
    [ "$(redis exists "$key")" = 0 ] || fail "$key is there"
done
expect 0 forget --force --key-hex 62696eff
expect 0 forget --force absent
expect 0 forget --force ours
expect 0 ls
out_is_empty

scene 'a key whose life somebody has changed is stuck, and can be settled'
claim kept
expect 0 ls --stuck
out_is_empty
redis persist kept >/dev/null
expect 0 ls --stuck
out_has '"undated":true'
expect 0 watch --json --count 1
out_has '"stuck":1'
expect 13 forget kept --expired
err_has 'idem settle'
expect 0 settle kept '"by hand"'
expect 0 ls --stuck
out_is_empty
expect 0 forget kept

scene 'looking needs the right to read alone'
claim seen --ttl 1h
expect 0 complete seen --token "$token" '"response"'
redis acl setuser looker on '>word' '~*' +get +pttl +scan +ping +select +hello +auth +client +info >/dev/null
printf 'redis+unix://looker:word@%s/redis.sock\n' "$dir" >url
chmod 600 url
expect 0 get seen --store-file url
out_has '"response":"response"'
expect 0 ls --store-file url
lines_are 1 out
expect 10 begin seen --store-file url
[ "$("$idem" forget seen --store-file url 2>err)" = '' ] || fail 'it was forgotten'
err_lacks word
expect 10 begin seen

scene 'a result whose storing got no answer may be stored, and the message says so'
expect 0 --store "$IDEM_STORE?timeout=300ms" run doubt --lease 1500ms -- sh -c "echo out; kill -STOP $redis"
kill -CONT "$redis"
out_is out
err_has 'its result may not be stored'
err_lacks 'is not stored'
