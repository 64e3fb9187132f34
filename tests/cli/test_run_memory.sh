#!/bin/sh
# SPDX-License-Identifier: MIT
# What a replay takes of memory: a small multiple of what is stored, whatever that is made of.
. "$(dirname "$0")/helper.sh"

# limited KILOBYTES ARGUMENTS…: idem with so much address space.
limited() {
    # shellcheck disable=SC3045 # a limit on memory is what this is about
    (ulimit -v "$1" && shift && exec "$idem" "$@") >"$dir/out" 2>"$dir/err"
}

export IDEM_STORE="$IDEM_STORE?synchronous=normal"

scene 'how much idem takes for nothing'
own=4000
until limited "$own" version; do
    own=$((own + 2000))
    if [ "$own" -gt 100000 ]; then
        echo 'not looked at: the tool that this build is checked with reserves more than that'
        exit 0
    fi
done
until limited "$own" begin small --lease 1ms --wait 1s; do
    own=$((own + 2000))
    [ "$own" -le 100000 ] || fail 'a small begin takes more than 100 MB'
done

# replayed NAME: the response in the file is stored, and replayed with at most three times its length, and what an
# allocator takes at a time.
replayed() {
    claim "$1"
    "$idem" complete "$1" --token "$token" <"$1" >out 2>err || fail "$1 was not stored"
    size=$(($(wc -c <"$1") / 1024))
    limited $((own + 3 * size + 4096)) run "$1" -- false || fail "$size KiB of $1 take more than three times that"
}

scene 'eight MiB of each kind of JSON, in a member that nobody knows'
for piece in '{}' '[[[[0]]]]' '"\u0000"'; do
    printf '{"exit":0,"stdout":"hi","stderr":"","more":[%s' "$piece" >nodes
    awk -v piece="$piece" 'BEGIN { while (n < 8300000) { printf ",%s", piece; n += length(piece) + 1 } }' >>nodes
    printf ']}' >>nodes
    replayed nodes
    out_has hi
    expect 0 forget nodes
done

scene 'eight MiB of members'
{
    printf '{"exit":0,"stdout":"hi","stderr":""'
    awk 'BEGIN { while (n < 8300000) { text = ",\"" i++ "\":0"; printf "%s", text; n += length(text) } }'
    printf '}'
} >members
replayed members
out_has hi

scene 'eight MiB of output, as text, as escapes and as base64'
{
    printf '{"exit":0,"stderr":"","stdout":"'
    head -c 8300000 /dev/zero | tr '\0' x
    printf '"}'
} >text
replayed text
[ "$(wc -c <out)" -eq 8300000 ] || fail 'the output is not whole'
{
    printf '{"exit":0,"stderr":"","stdout":"'
    awk 'BEGIN { for (i = 0; i < 1380000; i++) printf "\\u0000" }'
    printf '"}'
} >escapes
replayed escapes
[ "$(wc -c <out)" -eq 1380000 ] || fail 'the output is not whole'
{
    printf '{"exit":0,"stderr":"","stdout_base64":"'
    head -c 6000000 /dev/zero | base64 -w 0
    printf '"}'
} >base64
replayed base64
[ "$(wc -c <out)" -eq 6000000 ] || fail 'the output is not whole'
