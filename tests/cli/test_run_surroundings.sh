#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run where something is missing or limited: a message that names the cause, nothing lost.
# shellcheck disable=SC2016,SC3045 # what is in single quotes is for CMD; dash has ulimit -n, -v
. "$(dirname "$0")/helper.sh"

scene 'too few descriptors: CMD is not run, the key is given back'
expect 0 run first -- true
codes=
n=4
while [ "$n" -le 40 ]; do
    rm -f ran
    (ulimit -n "$n" && exec "$idem" run "files $n" -- touch ran) >out 2>err
    code=$?
    codes="$codes $code"
    if [ "$code" -eq 0 ]; then
        [ -e ran ] || fail "with $n descriptors it has not run"
    else
        [ ! -e ran ] || fail "with $n descriptors it has run, and ended with $code"
        [ -s err ] || fail "with $n descriptors it said nothing"
        expect 14 get "files $n"
    fi
    n=$((n + 1))
done
case $codes in
*" 0") ;;
*) fail "it has never run: $codes" ;;
esac

scene 'a limit on the size of files: idem is not killed by it'
head -c 100000 /dev/zero | tr '\0' x >many
(ulimit -f 40 && exec "$idem" --store memory:// run size -- cat many) >out 2>err
[ $? -eq 70 ] || fail 'lost output was no failure'
err_has 'stdout could not be passed on: File too large'
(ulimit -f 1 && exec "$idem" --store memory:// run size2 -- sh -c 'head -c 1000000 /dev/zero >big; exit 3') >out 2>err
code=$?
[ "$code" -eq 3 ] || fail "CMD ended with $code"

scene 'CMD is killed by the limit itself, as without idem'
(ulimit -f 1 && exec "$idem" --store memory:// run size3 -- dd if=/dev/zero of=big bs=4096 count=10) >out 2>err
[ $? -eq 153 ] || fail 'CMD did not get SIGXFSZ'

scene 'programs that are there and can not be run'
printf '#!/no/such/interpreter\necho ran\n' >interpreter
printf '#!/bin/sh\r\necho ran\n' >carriage
chmod +x interpreter carriage
for name in interpreter carriage; do
    expect 126 run "$name" -- "./$name"
    err_has 'it is there, but not what is to interpret or load it'
    expect 14 get "$name"
done
PATH="$dir:$PATH" "$idem" run path -- interpreter >out 2>err
[ $? -eq 126 ] || fail 'it was not found in PATH'
err_has 'it is there'
expect 127 run nothing -- ./nothing
err_has 'there is no such program'
expect 127 run nothing -- ''
err_has 'there is no such program'
printf 'echo ran\n' >plain
chmod +x plain
expect 0 run plain -- ./plain
out_is ran

scene 'arguments that fit, but not beside a long checkpoint'
claim long
{ printf '"'; head -c 60000 /dev/zero | tr '\0' x; printf '"'; } | "$idem" checkpoint long --token "$token" >out ||
    fail 'the checkpoint is refused'
expect 0 renew long --token "$token" --lease 1ms
(ulimit -s 512 && exec "$idem" run long --wait 5s -- /bin/echo "$(head -c 90000 /dev/zero | tr '\0' x)") >out 2>err
[ $? -eq 126 ] || fail 'the test itself is wrong'
err_has '$IDEM_CHECKPOINT included, are longer than the system allows'
expect 0 run long --wait 5s -- sh -c 'echo "$IDEM_ATTEMPT ${#IDEM_CHECKPOINT}"'
out_matches '^[0-9] 60002$'

if unshare -m true 2>/dev/null; then
    # A sanitizer that looks for leaks needs /proc, and fails at the end when it has none.
    failed() {
        grep -q LeakSanitizer err || fail 'it has failed'
    }
    scene 'without /proc: what CMD leaves behind is ended all the same'
    unshare -m sh -c 'umount -l /proc; exec "$0" run noproc -- sh -c "
        (sh -c \"echo \\\$\\\$ >job; while :; do sleep 0.02; done\" >/dev/null &) ; until [ -s job ]; do sleep 0.02; done; echo out"' \
        "$idem" >out 2>err || failed
    out_is out
    ! kill -0 "$(cat job)" 2>/dev/null || fail 'the job has outlived the claim'
    err_has 'must not work on without its claim'
    rm job
    unshare -m sh -c 'umount -l /proc; exec "$0" run noproc2 -- sh -c "
        setsid sh -c \"echo \\\$\\\$ >job; exec sleep 600\" >/dev/null 2>&1 & until [ -s job ]; do sleep 0.02; done; echo out"' \
        "$idem" >out 2>err || failed
    background="$background $(cat job)"
    err_lacks 'must not work on'
    kill -0 "$(cat job)" || fail 'the daemon was ended'

    scene 'with the /proc of other processes'
    rm -f job
    unshare -pf "$idem" run otherproc -- sh -c '(while :; do sleep 0.02; done >/dev/null &) ; echo out' >out 2>err || failed
    out_is out
    err_has 'must not work on without its claim'

    scene 'without /dev'
    unshare -m sh -c 'mount -t tmpfs none /dev && exec "$0" run nodev -- echo out' "$idem" >out 2>err ||
        fail 'it has failed'
    out_is out
    unshare -m sh -c 'mount -t tmpfs none /dev && exec "$0" run nodev2 -- sh -c "cat; echo out; echo err >&2" <&- >&- 2>&-' "$idem"
    [ $? -eq 70 ] || fail 'lost output was no failure'
    expect 0 run nodev2 -- false
    out_is out
    err_has err
fi
