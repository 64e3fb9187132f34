#!/bin/sh
# SPDX-License-Identifier: MIT
# What strangers have put into keys, checkpoints and responses drives and deceives no terminal; to a
# pipe or file every byte goes as it is. $2 runs a program on a terminal of its own.
. "$(dirname "$0")/helper.sh"

# only_ascii FILE: nothing but printable ASCII, line ends, and the ellipsis of a text that was cut.
only_ascii() {
    ! sed 's/…//g' "$1" | tr -d '\n\040-\176' | grep -q . || fail "$1 has more than printable ASCII"
}

# On a terminal: right-to-left override, C1 CSI, DEL, zero-width joiner, line separator, a tag, BOM.
evil=$(printf 'a\342\200\256b\302\2332Jc\177d\342\200\215e\342\200\250f\363\240\201\201g\357\273\277h')
shown='a\u202eb\u009b2Jc\u007fd\u200de\u2028f\udb40\udc41g\ufeffh'

scene 'a response'
claim response
expect 0 complete response --token "$token" "{\"text\":\"$evil\"}"
expect 10 begin response
out_is "{\"outcome\":\"completed\",\"response\":{\"text\":\"$evil\"}}"
expect 0 get response
out_has "{\"text\":\"$evil\"}"
"$helper" "$idem" begin response >out 2>err
out_has "{\"text\":\"$shown\"}"
only_ascii out
"$helper" "$idem" get response >out 2>err
out_has "{\"text\":\"$shown\"}"
only_ascii out

scene 'a response with line breaks keeps them, and none goes back to the beginning of a line'
claim breaks
printf '{"a":1,\r\n "b":\t2}\r' >text
"$idem" complete breaks --token "$token" <text >out 2>err || fail 'complete'
"$idem" begin breaks >out
printf '{"outcome":"completed","response":{"a":1,\r\n "b":\t2}\r}\n' | cmp -s - out || fail 'bytes have changed'
"$helper" "$idem" begin breaks >out 2>err
[ "$(tr -cd '\r' <out | wc -c)" -eq 0 ] || fail 'a carriage return came through'
out_has '"b":'

scene 'what a text has of other languages stays'
claim words
expect 0 complete words --token "$token" '"ключ €5 日本 😀 é"'
"$helper" "$idem" begin words >out 2>err
out_has '"ключ €5 日本 😀 é"'

scene 'a key and a checkpoint, in the table, in JSON lines, and in messages'
claim "$evil"
expect 0 checkpoint "$evil" --token "$token" "\"$evil\""
expect 0 ls --prefix "$evil"
out_has "\"checkpoint\":\"$evil\""
"$helper" "$idem" ls >out 2>err
out_has "\"$shown\""
only_ascii out
"$helper" "$idem" ls --json --prefix "$evil" >out 2>err
out_has "\"checkpoint\":\"$shown\""
only_ascii out
expect 75 run "$evil" -- true
only_ascii err
expect 14 get "$evil-absent"
only_ascii err

scene 'messages are one line of harmless characters, wherever they come from'
for text in "$evil" "$(printf 'line\nbreak')" "$(printf 'bad\377\033[2J')"; do
    expect 64 begin k "--$text"
    only_ascii err
    lines_are 2 err
    expect 64 begin k "--lease=$text"
    only_ascii err
    lines_are 2 err
    expect 64 "$text"
    only_ascii err
    expect 69 begin k --store-file "$text"
    only_ascii err
    lines_are 1 err
    mkdir -p "$dir/$text/idem/idem.db"
    (unset IDEM_STORE && XDG_STATE_HOME="$dir/$text" expect 69 begin k) || exit 1
    only_ascii err
    lines_are 1 err
    "$idem" run prog -- "$dir/$text/absent" >out 2>err
    only_ascii err
done

scene 'findings of doctor are JSON, whatever the name of the file'
odd="$dir/$(printf 'bad\377\302\233').db"
"$idem" begin k --store "sqlite://$dir/bad%FF%C2%9B.db" >out || fail 'begin'
[ -e "$odd" ] || fail 'the file has another name'
expect 1 doctor --store "sqlite://$dir/bad%FF%C2%9B.db?synchronous=normal"
lines_are 1 out
LC_ALL=C.UTF-8 iconv -f UTF-8 -t UTF-8 out >/dev/null || fail 'the answer is no UTF-8'
only_ascii err
exit 0
