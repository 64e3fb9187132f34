#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run: no process of CMD's tree works on when the claim has ended, however idem ended.
# shellcheck disable=SC2016 # what is in single quotes is for CMD
. "$(dirname "$0")/helper.sh"
[ "$(uname)" = Linux ] || exit 0

# A job, and a CMD that is a shell above it. The job's pid is in the file job.
cat >job.sh <<'END'
echo $$ >job.new
mv job.new job
while :; do echo x >>ticks; sleep 0.02; done
END
above='sh job.sh; echo behind'

is_dead() {
    ! kill -0 "$1" 2>/dev/null
}
# What a process that was killed still does, it does before it is dead.
job_is_dead() {
    eventually is_dead "$(cat job)"
    rm job
}
begin_job() {
    rm -f job ticks
    start run "$@"
    eventually test -s job
}

scene 'TERM to idem: the key is given back when the tree is dead'
begin_job term -- sh -c "$above"
kill -TERM "$started"
wait "$started"
is_dead "$(cat job)" || fail 'the job has outlived the claim'
expect 14 get term

scene 'a job that does not heed TERM'
cat >deaf.sh <<'END'
trap "" TERM
exec sh job.sh
END
begin_job deaf -- sh -c 'sh deaf.sh & wait; echo'
kill -TERM "$started"
ended 143
is_dead "$(cat job)" || fail 'the job has outlived the claim'
err_has 'which must not work on without its claim; ending'
err_has 'not ended in 10s; killing them'
expect 14 get deaf

scene 'idem is killed: nothing works on, well before the lease ends'
begin_job killed -- sh -c "$above"
kill -KILL "$started"
wait "$started" 2>/dev/null
job_is_dead
expect 11 begin killed

scene 'a job of many generations, in process groups of its own, whose parents have ended'
begin_job killed2 -- sh -c '(sh -mc "(timeout 600 sh job.sh &) & sleep 600" &); sleep 600'
kill -KILL "$started"
wait "$started" 2>/dev/null
job_is_dead

scene 'idem is killed with its whole group'
rm -f job
setsid sh -c 'echo $$ >leader; exec "$0" run group -- sh -c "timeout 600 sh job.sh; echo"' "$idem" >out 2>err &
eventually test -s job
kill -KILL "-$(cat leader)"
job_is_dead

scene 'idem is stopped and killed then'
begin_job stopped -- sh -c "$above"
kill -STOP "$started"
kill -STOP "$(cat job)"
kill -KILL "$started"
wait "$started" 2>/dev/null
job_is_dead

scene 'idem is stopped: what it has started stands still before its lease ends, and ends with it'
begin_job halted --lease 2s -- sh -c "sh -mc 'sh job.sh & wait'; echo"
kill -STOP "$started"
expect 0 begin halted --wait 20s --lease 10m
lines=$(wc -l <ticks)
sleep 0.2
[ "$(wc -l <ticks)" -eq "$lines" ] || fail 'the job works on though another has the claim'
kill -CONT "$started"
ended 75
err_has 'the claim is lost'
is_dead "$(cat job)" || fail 'the job has outlived the claim'
[ "$(wc -l <ticks)" -eq "$lines" ] || fail 'the job has worked before idem knew of the loss'

scene 'idem is stopped and goes on in time: so does what it has started, but for what stood still before'
begin_job pause --lease 3s -- sh -c 'sh -c "kill -STOP \$\$; echo >woken" & sh job.sh &
    until [ -e enough ]; do sleep 0.02; done; kill -KILL $(cat job)'
stands_still() {
    grep -q '^State:.T' "/proc/$1/status"
}
kill -STOP "$started"
eventually stands_still "$(cat job)"
kill -CONT "$started"
lines=$(wc -l <ticks)
eventually sh -c '[ "$(wc -l <ticks)" -gt "$1" ]' sh "$lines"
[ ! -e woken ] || fail 'what CMD itself has stopped was woken'
echo >enough
ended 0

scene 'a short lease: killed before it ends'
begin_job short --lease 900ms -- sh -c 'sh deaf.sh'
kill -KILL "$started"
wait "$started" 2>/dev/null
expect 0 begin short --wait 20s
is_dead "$(cat job)" || fail 'the job works on though another has the claim'

scene 'the claim is lost'
begin_job lost --lease 600ms -- sh -c "$above"
take lost
ended 75
is_dead "$(cat job)" || fail 'the job has outlived the claim'

scene 'the keeper is killed: idem does its work'
begin_job keeper -- sh -c '(sh job.sh &); echo $PPID >parent; sleep 600'
eventually test -s parent
kill -KILL "$(cat parent)"
ended 143
is_dead "$(cat job)" || fail 'the job has outlived the claim'
err_has 'was killed; stopping the command'
expect 14 get keeper

scene 'CMD is killed'
begin_job victim -- sh -c 'echo $$ >pid; sh job.sh; echo'
kill -KILL "$(cat pid)"
ended 137
is_dead "$(cat job)" || fail 'the job has outlived the claim'
expect 14 get victim

scene 'what CMD leaves behind is ended before its result is stored'
rm -f job
expect 0 run behind -- sh -c 'sh job.sh >/dev/null & until [ -s job ]; do sleep 0.02; done; echo out'
out_is out
is_dead "$(cat job)" || fail 'the job has outlived the claim'
err_has 'must not work on without its claim; ending'
expect 0 run behind -- false
out_is out
rm -f job
expect 0 run nohup -- sh -c 'nohup sh job.sh >/dev/null 2>&1 & until [ -s job ]; do sleep 0.02; done'
is_dead "$(cat job)" || fail 'nohup alone makes no daemon'

scene 'what ends by itself soon is left to'
expect 0 run soon -- sh -c '(sleep 0.1; echo x >finished) & echo out'
err_is_empty
[ -e finished ] || fail 'it was not waited for'

scene 'a daemon in a session of its own is left alone, and does not hold us up'
rm -f job
expect 0 run daemon -- sh -c 'setsid sh job.sh >/dev/null 2>&1 & until [ -s job ]; do sleep 0.02; done; echo out'
background="$background $(cat job)"
out_is out
err_is_empty
kill -0 "$(cat job)" || fail 'the daemon was ended'
kill -KILL "$(cat job)"
begin_job daemon2 -- sh -c 'setsid sh job.sh & sleep 600'
background="$background $(cat job)"
kill -TERM "$started"
ended 143
err_has 'holds its output open'
kill -0 "$(cat job)" || fail 'the daemon was ended'
kill -KILL "$(cat job)"

scene 'CMD itself in a session of its own is no daemon'
begin_job session -- setsid sh -c "$above"
kill -KILL "$started"
wait "$started" 2>/dev/null
job_is_dead

scene 'children that idem had before are not of the tree'
sh -c 'sh job.sh & until [ -s job ]; do sleep 0.02; done
    exec "$0" run company -- sh -c "kill -KILL \$PPID; exec sleep 600"' "$idem" >out 2>err
kill -0 "$(cat job)" || fail 'a stranger was ended'
kill -KILL "$(cat job)"
