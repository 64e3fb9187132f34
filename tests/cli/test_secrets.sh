#!/bin/sh
# SPDX-License-Identifier: MIT
# Passwords: a store can be named without one on a command line, and none reaches CMD.
# shellcheck disable=SC2016 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"

unset IDEM_STORE
secret=s3cr3t
url="sqlite://$dir/named.db"

scene 'the URL in a file, or in a descriptor'
printf '%s' "$url" >plain
printf '%s\n' "$url" >line
for file in plain line; do
    expect 0 --store-file "$file" begin "$file"
    expect 11 begin "$file" --store-file "$dir/$file"
    expect 11 begin "$file" --store-file="$file"
    expect 11 --store "$url" begin "$file"
done
expect 11 begin line --store-file /dev/fd/3 3<line
printf '%s\n' "$url" | expect 11 begin line --store-file /dev/fd/0 || exit 1
printf '%s\n' "$url" | expect 11 begin line --store-file /dev/stdin || exit 1
{
    sleep 0.2
    printf '%s\n' "$url"
} | "$helper" without-blocking "$idem" begin line --store-file /dev/stdin >out 2>err
[ $? -eq 11 ] || fail 'a stdin that is not waited for'
mkfifo pipe
printf '%s\n' "$url" >pipe &
expect 11 begin line --store-file pipe
err_is_empty

scene '--store-file goes before IDEM_STORE, and not with --store'
IDEM_STORE=nonsense expect 11 begin line --store-file line
expect 64 begin line --store-file line --store "$url"
err_has 'exclude each other'

scene 'CMD does not inherit the descriptor'
expect 0 run --store-file /dev/fd/3 inherited -- sh -c 'cat <&3 2>/dev/null || echo closed' 3<line
out_is closed

scene 'files that hold no URL'
expect 69 begin k --store-file absent
err_has '"absent"'
err_has 'No such file'
expect 69 begin k --store-file "$dir"
expect 69 begin k --store-file /dev/fd/9
err_has 'closed'
for content in '' '\n' "$url\n\n" " $url" "$url " "$url\r\n" "\t$url" "$url\n$url\n" "sqlite:a\000b" 'a\033b'; do
    # shellcheck disable=SC2059
    printf "$content" >odd
    expect 64 begin k --store-file odd
    err_has '"odd"'
    err_has 'one line'
done
head -c 100000 /dev/zero | tr '\0' x >odd
expect 64 begin k --store-file odd
err_has 'too long'
printf 'redis://:%s@127.0.0.1:1\n' "$secret " >odd
expect 64 begin k --store-file odd
err_lacks "$secret"

scene 'a file with a password that others can read is spoken of'
printf 'redis://:%s@127.0.0.1:1/?timeout=50ms\n' "$secret" >readable
chmod 644 readable
expect 69 begin k --store-file readable
err_has 'chmod go-r'
err_lacks "$secret"
chmod 600 readable
expect 69 begin k --store-file readable
err_lacks 'chmod'

scene 'an IDEM_STORE with a password does not reach CMD, and an idem inside is told'
other="sqlite://$dir/other.db"
for with in "redis://user:$secret@host/0" "redis://:$secret@host" "redis://:a/$secret@host" \
    "rediss://:$secret@h1:1,h2:2/name" "postgresql://u:$secret@h/db" "postgresql://h/db?password=$secret" \
    "postgresql://h/db?user=u&PassWord=$secret" "redis+sentinel://h/m?sentinel_password=$secret" \
    "x://h/?pass%77ord=$secret" "x://h/?secret=$secret"; do
    "$idem" begin k --store "$other" >out; expect 0 forget k --store "$other"
    IDEM_STORE=$with expect 0 run k --store "$other" -- env
    out_lacks "$secret"
    out_lacks 'IDEM_STORE='
    out_has 'IDEM_STORE_WITHHELD=1'
    expect 0 forget "k" --store "$other"
    IDEM_STORE=$with expect 64 run k --store "$other" -- "$idem" run inner -- touch made
    err_has 'keeps the password'
    [ ! -e made ] || fail 'it was run with the default store'
    IDEM_STORE=$with expect 0 run nested --store "$other" -- "$idem" --store "$other" run inner -- echo inner
    expect 0 forget nested --store "$other"
done
for without in "$other" sqlite:rel/a:b@c.db "sqlite://$dir/a:b@c.db" redis://host:6379/0 \
    'redis://host:6379/0?prefix=a' redis+unix:///run/x.sock postgresql://user@host/db memory://; do
    IDEM_STORE=$without expect 0 run k --store "$other" -- sh -c 'echo "$IDEM_STORE ${IDEM_STORE_WITHHELD-no}"'
    out_is "$without no"
    expect 0 forget k --store "$other"
done

scene 'the token by the environment'
export IDEM_STORE="$other"
claim token
IDEM_TOKEN=$token expect 0 checkpoint token 1
IDEM_TOKEN=$token expect 0 renew token
IDEM_TOKEN=$token expect 0 complete token 2
IDEM_TOKEN=$token expect 0 release token
expect 10 begin token
