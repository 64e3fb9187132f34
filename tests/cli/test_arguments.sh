#!/bin/sh
# SPDX-License-Identifier: MIT
# Keys, JSON texts and values of strangers on a command line: none of them is taken for an option, an
# abbreviation of one, or a question for help, and none keeps a CMD from being run with exit code 0.
# shellcheck disable=SC2016 # what is in single quotes is for CMD, or a name
. "$(dirname "$0")/helper.sh"

scene 'a KEY that looks like an option: CMD is not run, and the way out is told'
for key in --help --hel --he --h -h --version --ver -v -V --store "--store=sqlite://$dir/x.db" \
    --store-file --lease --lease=5s --keep-failures --keep --no-takeover --token=0 --json -x --x=1 \
    --ttl --wait=1s --fingerprint --key-hex --; do
    expect 64 run "$key" -- touch made
    out_is_empty
    [ -s err ] || fail 'nothing is said'
    expect 64 run "$key" --lease 5s -- touch made
    expect 64 run --lease 5s "$key" -- touch made
    [ ! -e made ] || fail "CMD was run for $key"
    expect 0 run -- "$key" -- sh -c 'printf %s "$IDEM_KEY"'
    printf %s "$key" | cmp -s - out || fail "the key is not $key"
    expect 0 run --lease 5s -- "$key" -- touch made
    [ ! -e made ] || fail "CMD was run again for $key"
done
for key in --help --he -h --x; do
    expect 64 run "$key" -- touch made
    err_has 'run -- "$KEY" -- CMD'
done
[ ! -e "$dir/x.db" ] || fail 'a key has named a store'

scene 'an empty KEY, and none: CMD is not run'
expect 64 run '' -- touch made
expect 64 run -- touch made
expect 64 run -- '' -- touch made
[ ! -e made ] || fail 'CMD was run'

scene 'help beside anything else is wrong usage'
expect 64 run k --help -- touch made
expect 64 run --help k -- touch made
expect 64 --help run k -- touch made
expect 64 -h run k -- touch made
expect 64 --version run k -- touch made
[ ! -e made ] || fail 'CMD was run'
for command in begin complete renew checkpoint release get settle forget; do
    expect 64 "$command" --help --token 0123456789abcdef0123456789abcdef
    expect 64 "$command" k --help
    out_is_empty
done
claim text
expect 64 complete text --token "$token" --help
expect 64 complete --help --token "$token" '{}'
expect 11 begin text

scene 'options are whole names'
for option in --fing=1 --fingerprin=1 --lea=5s --no-take --stor=memory:// --tok=1; do
    expect 64 begin abbreviated "$option"
    err_has 'has no option'
done
expect 64 ls --stat completed
expect 64 ls --js
expect 64 --sto memory:// ls
expect 14 get abbreviated

scene 'what looks like an option is no value, unless it is written so'
for option in --fingerprint --store --store-file --lease; do
    expect 64 run "$option" --wait 5s -- touch made
    err_has "$option needs a value"
    [ ! -e made ] || fail 'CMD was run under another key'
done
expect 0 begin print --fingerprint=--wait
expect 12 begin print --fingerprint=-wait
expect 12 begin print --fingerprint=--

scene 'negative numbers are operands'
for text in -5 -0 -0.5 -1e3 -12345678901234567890; do
    claim "number $text"
    expect 0 checkpoint "number $text" --token "$token" "$text"
    expect 0 complete "number $text" --token "$token" "$text"
    expect 10 begin "number $text"
    out_is "{\"outcome\":\"completed\",\"response\":$text}"
done
claim behind
expect 0 complete behind "-5" --token "$token"
expect 0 begin -7
expect 0 get -7
out_has '"key":"-7"'
expect 0 run -8 -- true
claim plus
expect 65 complete plus --token "$token" -5x
expect 65 complete plus --token "$token" -5=3

scene 'behind -- everything is an operand'
expect 10 begin -- --help
expect 0 get -- --help
expect 0 get -- --lease=5s
out_has '"key":"--lease=5s"'
claim -- --key
expect 0 complete --token "$token" -- --key -1
expect 0 get -- --key
out_has '"response":-1}'

scene 'a key in hexadecimal, for what no command line can hold'
for key in "$(printf 'bad\377')|626164ff" "k|6B"; do
    claim "${key%|*}"
    expect 0 get --key-hex "${key#*|}"
    out_has '"status":"in_progress"'
    expect 0 get --key-hex="${key#*|}"
    expect 0 forget --key-hex "${key#*|}"
    expect 14 get "${key%|*}"
done
expect 14 get --key-hex 0061
for hex in '' 6 6g g6 '6b ' 0x6b; do
    expect 64 get "--key-hex=$hex"
    err_has '--key-hex'
done
expect 64 get k --key-hex 6b
err_has 'either a KEY or --key-hex'
