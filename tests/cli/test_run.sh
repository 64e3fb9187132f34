#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run: what CMD gets, what is passed on, what is stored and replayed.
# shellcheck disable=SC2016,SC2059 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"

# run_twice CODE KEY OPTIONS… -- CMD…: the second time replays; both times out and err are the same.
run_twice() {
    code=$1
    shift
    expect "$code" run "$@"
    cp out first.out
    cp err first.err
    expect "$code" run "$@"
    same out first.out
    same err first.err
}

scene 'once, and replayed with stdout and stderr apart'
run_twice 0 apart -- sh -c 'echo x >>ran; echo out; echo err >&2; printf more'
lines_are 1 ran
printf 'out\nmore' >want
same out want
printf 'err\n' >want
same err want

scene 'no output at all'
run_twice 0 nothing -- true
out_is_empty
err_is_empty

scene 'what is stored is plain JSON'
expect 0 run plain -- printf 'a "b"\n\302\265'
err_is_empty
expect 10 begin plain
out_is '{"outcome":"completed","response":{"exit":0,"stdout":"a \"b\"\nµ","stderr":""}}'

scene 'all bytes, and all kinds of invalid UTF-8'
i=0
while [ "$i" -lt 256 ]; do
    printf "\\$(printf %o "$i")"
    i=$((i + 1))
done >bytes
[ "$(wc -c <bytes)" -eq 256 ] || fail 'the test itself is wrong'
cat bytes bytes >want
run_twice 0 bytes -- sh -c 'cat bytes bytes; cat bytes >&2'
same out want
same err bytes
n=0
for text in '\300\200' '\340\200\200' '\355\240\200' '\360\200\200\200' '\364\220\200\200' '\365' \
    '\342\202' '\200' 'a\377b' '\000' 'a\000b' '\357\277\277' '\364\217\277\277' '\001\002\003' \
    '\177' '\302\200\302\201' '\360\237\230\200'; do
    n=$((n + 1))
    printf "$text" >want
    run_twice 0 "text $n" -- printf "$text"
    same out want
done

scene 'exit codes; a CMD that fails gives the key back'
for code in 1 2 7 75 126 127 255; do
    expect "$code" run "code $code" -- sh -c "echo x >>'ran $code'; echo out; exit $code"
    printf 'out\n' >want
    same out want
    err_is_empty
    expect 14 get "code $code"
    expect "$code" run "code $code" -- sh -c "echo x >>'ran $code'; exit $code"
    lines_are 2 "ran $code"
done

scene 'with --keep-failures it is stored'
run_twice 7 kept --keep-failures -- sh -c 'echo x >>ran.kept; echo out; echo err >&2; exit 7'
lines_are 1 ran.kept

scene 'ended by a signal'
run_twice 143 killed --keep-failures -- sh -c 'echo before; kill -TERM $$'
printf 'before\n' >want
same out want
expect 137 run killed9 -- sh -c 'kill -KILL $$'
expect 14 get killed9

scene 'CMD that cannot be run stores nothing and gives the key back, --keep-failures or not'
expect 127 run absent --keep-failures -- ./no-such-program
err_has 'no such program'
expect 14 get absent
expect 127 run absent -- no-such-program
echo 'echo ran' >script
expect 126 run script --keep-failures -- ./script
err_has 'Permission denied'
expect 14 get script
expect 126 run script -- "$dir"
chmod +x script
run_twice 0 script -- ./script
out_is ran

scene 'stdin is handed on'
echo 'from stdin' | "$idem" run stdin -- cat >out 2>err || fail 'run has failed'
out_is 'from stdin'
expect 0 run stdin -- cat
out_is 'from stdin'

scene 'arguments are handed on as they are'
run_twice 0 args -- printf '<%s>' 'a b' '' '--lease' '--' "*" '$HOME'
printf '<a b><><--lease><--><*><$HOME>' >want
same out want

scene 'what CMD finds in its environment'
IDEM_CHECKPOINT=stale expect 0 run 'env key' -- sh -c \
    'echo "$IDEM_KEY $IDEM_ATTEMPT ${#IDEM_TOKEN} ${IDEM_CHECKPOINT-none}"; env >env'
out_is 'env key 1 32 none'
[ "$(grep -c '^IDEM_KEY=' env)" -eq 1 ] || fail 'IDEM_KEY is there twice'
expect 0 --store "sqlite://$dir/other.db" run env -- sh -c 'echo "$IDEM_STORE"'
out_is "$IDEM_STORE"
expect 0 run nested -- "$idem" run inner -- sh -c 'echo "$IDEM_KEY"'
out_is inner

scene 'CMD can leave a checkpoint, and only with its own claim'
expect 3 run steps -- sh -c '"$0" checkpoint "$IDEM_KEY" "{\"done\":1}" && exit 3' "$idem"
out_is '{"checkpointed":true}'
expect 14 run steps -- sh -c '"$0" checkpoint elsewhere 1' "$idem"

scene 'output comes as it is written, not at the end'
# A FIFO for each step: of one that is opened twice the second reader could meet the first writer,
# that has not closed it yet, and with it the end of the file.
mkfifo go leave
start run stream -- sh -c 'echo one; read word <go; echo two; echo err >&2; read word <leave'
eventually grep -q one started.out
! grep -q two started.out || fail 'it came too early'
echo >go
eventually grep -q two started.out
eventually grep -q err started.err
expect 75 run stream -- true
err_has 'in progress elsewhere'
expect 11 begin stream
echo >leave
ended 0

scene 'used before in another way'
expect 0 run print --fingerprint one -- echo ran
expect 65 run print --fingerprint two -- touch made
err_has 'another fingerprint'
out_is_empty
for response in '"text"' '{}' '[]' '{"exit":0}' '{"exit":0,"stdout":""}' '{"exit":"0","stdout":"","stderr":""}' \
    '{"exit":256,"stdout":"","stderr":""}' '{"exit":-1,"stdout":"","stderr":""}' \
    '{"exit":0,"stdout_base64":"a","stderr":""}' '{"exit":0,"stdout_base64":"????","stderr":""}' \
    '{"exit":0,"stdout":"abc","stdout_total":1,"stderr":""}' '1e999' \
    '{"exit":0,"stdout":"","stdout_total":-1,"stderr":""}' \
    '{"exit":0,"stdout":"","stdout_total":1.5,"stderr":""}' \
    '{"exit":0,"stdout":"","stdout_total":"5","stderr":""}' \
    '{"exit":0,"stdout":"","stdout_total":18446744073709551616,"stderr":""}' \
    '{"exit":1e1,"stdout":"","stderr":""}' '{"exit":[0],"stdout":"","stderr":""}' \
    '{"exit":0,"exit":1,"stdout":"","stderr":""}' '{"exit":0,"stdout":"","stdout":"","stderr":""}' \
    '{"exit":0,"stdout":"","\u0065xit":0,"stderr":""}' \
    '{"exit":0,"stdout":"","stdout_base64":"","stderr":""}' \
    '{"exit":0,"stdout":null,"stdout_base64":"","stderr":""}' \
    '{"exit":0,"stdout":"\ud800","stderr":""}' '{"exit":0,"stdout":"\ud800\u0041","stderr":""}'; do
    claim foreign
    expect 0 complete foreign --token "$token" "$response"
    expect 65 run foreign -- touch made
    err_has "not by 'idem run'"
    out_is_empty
    expect 0 forget foreign
done
[ ! -e made ] || fail 'the command was run'
claim foreign
printf '{"exit":0,"stdout":"","stderr":""}' >run.json
expect 0 complete foreign --token "$token" --file run.json
expect 65 run foreign -- touch made
err_has "not by 'idem run'"
expect 0 forget foreign
[ ! -e made ] || fail 'the command was run'
expect 65 run "$(printf '%01025d' 1)" -- touch made
[ ! -e made ] || fail 'the command was run'

scene 'a response like ours, made by others, is replayed'
claim foreign
expect 0 complete foreign --token "$token" '{"exit":3,"stdout_base64":"aGk=","stderr":"!\u0000"}'
expect 3 run foreign -- true
printf hi >want
same out want
printf '!\000' >want
same err want

scene 'what a later version has to say besides is passed over'
claim later
expect 0 complete later --token "$token" ' { "tool" : {"exit":9,"stdout":["x",{}]} , "exit":4,
 "stdout":"\ud83d\ude00\u00b5\/\b","more":[[],[1e5,-0,true,null]],"stderr_base64":"aG\u006b\u003d","":""} '
expect 4 run later -- true
printf '\360\237\230\200\302\265/\b' >want
same out want
printf hi >want
same err want

scene 'larger than the limit: cut, and said so, both times'
head -c 3000000 /dev/zero | tr '\0' x >large
expect 0 run large -- sh -c 'cat large; echo err >&2'
same out large
err_has 'stdout was cut: of its 3000000 bytes the first 2097152 are stored'
err_lacks 'stderr was cut'
head -c 2097152 large >want
expect 74 run large -- false
same out want
err_has 'stdout was cut: of its 3000000 bytes the first 2097152 were stored'
expect 0 run large --allow-cut -- false
same out want
expect 0 ls --prefix large
out_matches '"response_bytes":20972[0-9]{2}}'
head -c 3000000 /dev/urandom >large
{ head -c 1048576 large; tail -c 1048576 large; } >want
expect 7 run random --keep-failures -- sh -c 'cat large & cat large >&2; wait; exit 7'
same out large
"$idem" run random -- true >out 2>err
[ $? -eq 7 ] || fail 'it is not replayed with the code of CMD'
same out want
err_has 'stdout: 902848 bytes are missing here'
err_has 'stdout was cut: of its 3000000 bytes the first 1048576 and the last 1048576 were stored'
err_has 'stderr was cut: of its 3000000 bytes'

scene 'a store with a smaller limit'
small="sqlite://$dir/small.db?max_response=1KiB"
head -c 1000 bytes >want
cat bytes bytes bytes bytes >four
expect 0 --store "$small" run k -- sh -c 'cat four; cat four >&2'
same out four
expect 74 --store "$small" run k -- true
head -c 288 four | cmp -s - out || fail 'not what fits is replayed'
head -c 288 four | cmp -n 288 -s - err || fail 'not what fits is replayed'
err_has 'of its 1024 bytes the first 288 were stored'
expect 64 --store "sqlite://$dir/tiny.db?max_response=100B" run k -- touch made
err_has 'too small'
[ ! -e made ] || fail 'the command was run'

scene 'a reader that is slow, slower than CMD is gone'
head -c 400000 /dev/zero | tr '\0' y >many
head -c 180000 many >some
"$idem" run slow -- cat some 2>err | (sleep 1.6 && cat) >out
same out some
err_is_empty
expect 0 run slow -- false
same out some

scene 'a reader that takes nothing for a while does not keep the claim from being renewed'
{ "$idem" run stuck --lease 2s -- cat many; echo $? >code; } 2>err |
    (eventually test -e begun && cat) >out &
renewed 3 stuck
"$idem" begin stuck >begun.part
mv begun.part begun
grep -q in_progress begun || fail 'the claim was not renewed'
wait
same out many
[ "$(cat code)" -eq 0 ] || fail 'run has failed'

scene 'nor does it keep us from noticing that the claim is lost'
{
    "$idem" run stuck2 --lease 600ms -- sh -c 'trap "echo >trapped; kill $!; exit 3" TERM
        echo first; sleep 0.1; cat many & echo >started; wait' 2>err
    echo $? >code
} | (eventually test -e trapped && echo >noticed; cat >/dev/null) &
eventually test -e started
sleep 0.2
take stuck2
wait
[ -e noticed ] || fail 'CMD was not stopped'
[ "$(cat code)" -eq 75 ] || fail "run ended with $(cat code)"

scene 'stdout that cannot be written'
if [ -e /dev/full ]; then
    "$idem" run full -- echo out >/dev/full 2>err
    [ $? -eq 70 ] || fail 'lost output was no failure'
    err_has 'stdout could not be passed on'
    expect 0 run full -- false
    out_is out
    "$idem" run full -- false >/dev/full 2>err
    [ $? -eq 70 ] || fail 'lost output was no failure'
    err_has 'stdout could not be written'
    "$idem" run full3 -- sh -c 'echo out; exit 3' >/dev/full 2>err
    [ $? -eq 3 ] || fail "CMD's own code was hidden"
fi
"$idem" run closed -- echo out >&- 2>err
[ $? -eq 70 ] || fail 'lost output was no failure'
expect 0 run closed -- false
out_is out
"$idem" --store memory:// run all-closed -- sh -c 'echo out' <&- >&- 2>&-
[ $? -eq 70 ] || fail 'lost output was no failure'
"$idem" run all-closed -- sh -c 'cat; echo out; echo err >&2' <&- >&- 2>&-
[ $? -eq 70 ] || fail 'lost output was no failure'
expect 0 run all-closed -- false
out_is out
err_has err

scene 'what it writes soon is still taken'
run_twice 0 soon -- sh -c '(while kill -0 $$ 2>/dev/null; do sleep 0.02; done; echo late) & echo out'
printf 'out\nlate\n' >want
same out want
