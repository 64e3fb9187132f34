#!/bin/sh
# SPDX-License-Identifier: MIT
# The command line itself: help, version, backends, and what is said to wrong usage.
. "$(dirname "$0")/helper.sh"

commands='run begin complete renew checkpoint release get settle forget ls watch purge doctor bench backends version help'

scene 'help lists every command, and those only that there are'
for ask in 'help' '--help'; do
    expect 0 "$ask"
    err_is_empty
    for name in $commands; do
        out_matches "^  $name +[a-z]"
    done
done

scene 'each command has a help, by two ways and without a store'
for name in $commands; do
    IDEM_STORE=nonsense expect 0 "$name" --help
    err_is_empty
    out_has "usage: idem $name"
    out_has '--help'
    cp out first
    expect 0 help "$name"
    same out first
done
expect 0 run -h
out_has 'usage: idem run KEY'
[ ! -e "$HOME" ] || fail 'help has made a store'

scene 'help fits a terminal of 88 columns'
for name in $commands; do
    expect 0 help "$name"
    LC_ALL=C.UTF-8 awk 'length($0) > 88 { exit 1 }' out || fail "help of $name is too wide"
done

scene 'version'
expect 0 version
out_matches '^{"version":"[0-9]+\.[0-9]+\.[0-9]+"}$'
lines_are 1 out
cp out first
expect 0 --version
same out first

scene 'backends'
expect 0 backends
! grep -E '=(text|count|size|duration|choice)[^ ]' out || fail 'a parameter runs into its help'
for word in memory sqlite lease= ttl= prefix= max_response= timeout= synchronous=; do
    out_has "$word"
done
expect 0 backends --json
lines_are 1 out
out_has '"scheme":"sqlite"'
out_has '"name":"max_response","type":"size","default":"8MiB"'

scene 'unknown commands are told what there is'
for name in frobnicate benches; do
    expect 64 "$name"
    out_is_empty
    err_has "there is no command '$name'"
    err_has 'run, begin, complete, renew'
    err_has "try 'idem help'"
    expect 64 help "$name"
done
expect 64
err_has "'idem help'"

scene 'unknown options, and values that are missing or too many'
expect 64 ls --frobnicate
err_has '"--frobnicate"'
err_has "try 'idem help ls'"
expect 64 ls -x
err_has '"-x"'
expect 64 ls --limit
err_has '--limit needs a value'
expect 64 backends --json=1
err_has '--json takes no value'
expect 64 --frobnicate ls
expect 64 --store
err_has '--store needs a value'
# an option of another command's
expect 64 get k --lease 5s

scene 'operands that are missing or too many'
for name in begin complete renew checkpoint release get settle forget run; do
    expect 64 "$name"
    err_has 'needs a KEY'
    err_has "try 'idem help $name'"
    expect 64 "$name" ''
    err_has 'this one is empty'
done
for name in begin renew release get forget; do
    expect 64 "$name" a b
    err_has 'too many arguments'
done
expect 64 complete a b c
expect 64 settle a b c
expect 64 ls a
expect 64 purge a
expect 64 version a
expect 64 run k
err_has 'no command to run'
expect 64 run k --
err_has 'no command to run'
expect 64 run k touch made
err_has 'put -- in front'
[ ! -e made ] || fail 'the command was run'
expect 64 run '' -- touch made
[ ! -e made ] || fail 'the command was run'

scene 'values that are wrong'
for value in 3x 0s '' -5s 5 5S 1.5s 99999999999999999999h; do
    expect 64 begin k "--lease=$value"
    err_has '--lease:'
    err_has '500ms, 30s, 5m, 24h or 7d'
done
expect 64 begin k --ttl 1y
expect 64 begin k --wait soon
expect 64 run k --lease 1 -- touch made
[ ! -e made ] || fail 'the command was run'
for value in 0 -1 x '' 99999999999999999999; do
    expect 64 ls "--limit=$value"
    err_has 'whole number'
done
expect 64 ls --status 'done'
err_has 'in_progress, completed or corrupt'
zeros=00000000000000000000000000000000
for value in x "$zeros" "${zeros}0" "g${zeros#0}" ''; do
    expect 64 renew k "--token=$value"
    err_has '32 hexadecimal digits'
done
expect 64 complete k 1
err_has 'needs --token'
IDEM_TOKEN=xyz expect 64 complete k 1
err_has 'IDEM_TOKEN'

scene 'the store can be named before and behind the command'
expect 0 --store "sqlite://$dir/a.db" begin k
expect 11 begin k --store "sqlite://$dir/a.db"
expect 11 begin --store="sqlite://$dir/a.db" k
IDEM_STORE="sqlite://$dir/a.db" expect 11 begin k
IDEM_STORE=nonsense expect 11 --store "sqlite://$dir/a.db" begin k

scene 'operands that look like options'
expect 0 begin -- --key
expect 0 get -- --key
out_has '"key":"--key"'
expect 0 run -- -k -- echo ran
out_is ran

scene 'URLs that are wrong'
for url in '' nonsense 'sqlite:///x.db?colour=red' 'sqlite:///x.db?lease=soon' frob:///x; do
    expect 64 --store "$url" begin k
    err_has 'idem: '
    err_has "try 'idem help begin'"
    out_is_empty
done
err_has 'sqlite'
expect 64 --store 'sqlite:///x.db?colour=red' begin k
err_has 'max_response'

scene 'a password never comes back'
secret=s3cr3t
url="frob://user:$secret@host:1/x?password=$secret"
for arguments in "--store $url ls" "ls --store $url" "--stroe=$url ls" "ls --stroe=$url" "$url" \
    "help $url" "ls $url" "begin k $url" "--store sqlite://user:$secret@host/x ls" \
    "run k $url" "--store redis://:$secret@127.0.0.1:1 ls" "ls --limit $url" "ls --status $url"; do
    # shellcheck disable=SC2086
    "$idem" $arguments >out 2>err && fail "'idem $arguments' did not fail"
    out_lacks "$secret"
    err_lacks "$secret"
done
