#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run and CMD's output: readers that go away, one file for both streams, output that was cut.
# shellcheck disable=SC2016 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"

scene 'a reader that goes away: CMD meets what it would meet without idem'
{ "$idem" run yes -- yes; echo $? >code; } 2>err | head -n 1 >out
out_is y
[ "$(cat code)" -eq 141 ] || fail "it ended with $(cat code)"
expect 14 get yes
"$idem" run stderr -- sh -c 'yes >&2' 2>&1 >out | head -n 1 >err
expect 14 get stderr
{ "$idem" run merged -- sh -c 'while echo x && echo y >&2; do :; done' 2>&1; echo $? >code; } | head -n 1 >out
[ "$(cat code)" -ne 0 ] || fail 'CMD was not told'
expect 14 get merged

scene 'the same with --keep-failures: stored, as cut'
{ "$idem" run kept --keep-failures -- yes; } 2>err | head -n 1 >out
"$idem" run kept -- true >out 2>err
[ $? -eq 141 ] || fail 'it is not replayed with the code of CMD'
err_has 'stdout was cut'

scene 'a CMD that does not mind has a result, and it is known to be cut'
{ "$idem" run stubborn -- sh -c 'trap "" PIPE; yes 2>/dev/null; exit 0'; echo $? >code; } 2>err | head -n 1 >out
[ "$(cat code)" -eq 0 ] || fail "it ended with $(cat code)"
expect 74 run stubborn -- false
err_has 'its reader went away'
expect 0 run stubborn --allow-cut -- false
err_has 'its reader went away'

scene 'a reader that has read enough, and a CMD that writes no more: nothing was cut'
"$idem" run enough -- sh -c 'echo one; until [ -e go ]; do sleep 0.02; done' 2>err |
    { head -n 1 >out && exec <&- && echo >go; }
eventually sh -c '"$0" begin enough | grep -q completed' "$idem"
expect 0 run enough -- false
out_is one
err_is_empty
"$idem" run ends -- echo one 2>err | true
eventually sh -c '"$0" begin ends | grep -q completed' "$idem"
expect 0 run ends -- false
out_is one

scene 'stdout and stderr in one file: in order, now and in the replay'
cat >mixed.sh <<'END'
i=0
while [ $i -lt 500 ]; do
    echo "out $i"
    echo "err $i" >&2
    i=$((i + 1))
done
END
sh mixed.sh >want 2>&1
round=0
while [ $round -lt 5 ]; do
    round=$((round + 1))
    "$idem" run "mixed $round" -- sh mixed.sh >log 2>&1 || fail 'it has failed'
    same log want
    "$idem" run "mixed $round" -- false >log 2>&1 || fail 'the replay has failed'
    same log want
done
"$idem" run piped -- sh mixed.sh 2>&1 | cat >log
same log want
: >log
"$idem" run appended -- sh mixed.sh >>log 2>>log
same log want
expect 0 run piped -- false
same out want
err_is_empty
expect 10 begin piped
out_has '"merged":true,"stdout":"out 0\nerr 0\n'
"$idem" run failing --keep-failures -- sh -c 'sh mixed.sh; exit 5' >log 2>&1
[ $? -eq 5 ] || fail 'it ended in another way'
same log want

scene 'two files, and nowhere: the streams stay apart'
"$idem" run null -- sh -c 'echo out; echo err >&2' >/dev/null 2>&1
expect 0 run null -- false
out_is out
err_has err
"$idem" run files -- sh -c 'echo out; echo err >&2' >out 2>err
out_is out
expect 0 run files -- false
out_is out

scene 'on a terminal'
"$helper" "$idem" run terminal -- sh -c 'for i in 1 2 3 4 5; do echo $i; echo e$i >&2; done' >out 2>err
printf '1\n2\n3\n4\n5\n' >want
same out want

scene 'of a long output of a CMD that fails the beginning and the end are stored'
seq 1 600000 >long
size=$(wc -c <long)
{ head -c 1048576 long; tail -c 1048576 long; } >want
for code in 3 4; do
    "$idem" run "long $code" --keep-failures -- sh -c "cat long; exit $code" >out 2>err
    [ $? -eq "$code" ] || fail 'it ended in another way'
    same out long
    err_has "of its $size bytes the first 1048576 and the last 1048576 are stored"
    "$idem" run "long $code" -- true >out 2>err
    [ $? -eq "$code" ] || fail 'it is replayed with another code'
    same out want
    err_has "stdout: $((size - 2097152)) bytes are missing here"
done
for more in 1 1048575 1048576 1048577 2097152; do
    head -c $((2097152 + more)) long >part 2>/dev/null
    { head -c 1048576 part; tail -c 1048576 part; } >want
    "$idem" run "part $more" --keep-failures -- sh -c 'cat part; exit 1' >out 2>err
    "$idem" run "part $more" -- true >out 2>err
    [ $? -eq 1 ] || fail 'it is replayed with another code'
    same out want
done
head -c 2097152 long >part
expect 1 run whole --keep-failures -- sh -c 'cat part; exit 1'
expect 1 run whole -- true
same out part
err_is_empty

scene 'a small store'
small="sqlite://$dir/small.db?max_response=1KiB"
seq 1 1000 >many
expect 1 --store "$small" run k --keep-failures -- sh -c 'cat many; exit 1'
expect 1 --store "$small" run k -- true
{ head -c 144 many; tail -c 144 many; } >want
same out want

scene 'a replay of output that was cut does not pass for the whole'
expect 0 run cut -- cat long
same out long
expect 74 run cut -- false
head -c 2097152 long >want
same out want
err_has "of its $size bytes the first 2097152 were stored"
expect 0 run cut --allow-cut -- false
same out want

scene 'members that make no sense are passed over'
for extra in '"stdout_head":-1' '"stdout_head":4' '"stdout_head":"x"' '"stdout_head":1e9' '"signal":9' '"signal":"x"' \
    '"stdout_closed":1' '"merged":[]'; do
    claim odd
    expect 0 complete odd --token "$token" "{\"exit\":3,\"stdout\":\"abc\",\"stderr\":\"\",$extra}"
    expect 3 run odd -- true
    printf abc >want
    same out want
    expect 0 forget odd
done

scene 'signals of which nobody dies do not stop a replay'
for number in 17 18 19 20 21 22 23 28; do
    claim odd
    expect 0 complete odd --token "$token" \
        "{\"exit\":$((128 + number)),\"signal\":$number,\"stdout\":\"abc\",\"stderr\":\"\"}"
    expect $((128 + number)) run odd -- true
    same out want
    expect 0 forget odd
done
