#!/bin/sh
# SPDX-License-Identifier: MIT
# What a store returns is not believed: bytes that somebody has put into the file reach neither CMD's
# environment nor an answer.
# shellcheck disable=SC2016 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"

# hex TEXT: for a blob; a text with a NUL is given in octal.
hex() {
    # shellcheck disable=SC2059
    printf "$1" | od -An -v -tx1 | tr -d ' \n'
}

# crashed KEY CHECKPOINT: an unfinished record whose lease has run out, with that in the file.
crashed() {
    claim "$1" --lease 10ms
    sqlite3 "$dir/store.db" "UPDATE idem_record SET checkpoint = X'$(hex "$2")' WHERE key = CAST('$1' AS BLOB)" ||
        fail 'sqlite3'
    sleep 0.02
}

scene 'a checkpoint that goes on behind a NUL sets no variable, and CMD is not run'
n=0
for checkpoint in '{}\000LD_PRELOAD=./pre.so' '\000LD_PRELOAD=./pre.so' '{}\000' '{} \000\000A=b' '{"a":"\000"}' \
    '{' '{}x' '' '"\377"' '1 2' '{}\nA=b'; do
    n=$((n + 1))
    crashed "nul $n" "$checkpoint"
    "$idem" run "nul $n" -- sh -c 'touch made; env' >out 2>err
    code=$?
    case $checkpoint in
    '') [ "$code" -eq 0 ] || fail 'no checkpoint is none' ;;
    *)
        [ "$code" -eq 65 ] || fail "'$checkpoint' ended with $code"
        [ ! -e made ] || fail "CMD was run with $checkpoint"
        err_has "nul $n"
        ;;
    esac
    rm -f made
    out_lacks LD_PRELOAD
    "$idem" begin "nul $n" >out 2>err
    [ "$(tr -d '\0' <out | grep -c '')" -le 1 ] || fail 'begin has printed several lines'
done

scene 'a checkpoint that is one is handed on, whatever its numbers'
for checkpoint in '{"done":3}' '123456789012345678901234567890' '1e999' '"\\u0000"' ' [1]\n'; do
    n=$((n + 1))
    crashed "good $n" "$checkpoint"
    # shellcheck disable=SC2059
    printf "$checkpoint\n" >want
    expect 0 run "good $n" -- sh -c 'printf "%s\n" "$IDEM_CHECKPOINT"'
    same out want
done
