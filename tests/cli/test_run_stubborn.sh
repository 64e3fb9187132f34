#!/bin/sh
# SPDX-License-Identifier: MIT
# idem run: a CMD that does not heed TERM is killed 10 s after its claim was lost.
. "$(dirname "$0")/helper.sh"

scene 'killed after 10 s'
start run stubborn --lease 300ms -- sh -c 'trap "" TERM; echo >ready; exec sleep 100'
eventually test -e ready
begun=$(date +%s)
take stubborn
ended 75
took=$(($(date +%s) - begun))
[ "$took" -ge 9 ] || fail "it was killed after $took s already"
[ "$took" -le 30 ] || fail "it was killed after $took s only"
err_has 'has not stopped in 10s; killing it'
expect 0 get stubborn
out_has in_progress
