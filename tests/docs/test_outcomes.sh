#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/outcomes.c: each of the five outcomes, and an error. $1: the program; $2: idem.
. "$(dirname "$0")/helper.sh"
outcomes=$1
idem=$2
store=sqlite:outcomes.db

expect 0 "$outcomes" "$store" charge-1 4200
prints '200 {"charged":true}'
says 'charging 4200 cents'

expect 0 "$outcomes" "$store" charge-1 4200
prints '200 {"charged":true}'
says_not 'charging'

expect 0 "$outcomes" "$store" charge-1 9900
prints '422 this key was used for another amount'
says_not 'charging'

expect 0 "$idem" --store "$store" begin charge-2 --lease 59s
expect 0 "$outcomes" "$store" charge-2 4200
grep -qE '^409 Retry-After: 5[0-9]$' out || fail "not in progress"
says_not 'charging'

expect 0 "$idem" --store "$store" begin charge-3 --lease 1ms
sleep 0.1
expect 0 "$outcomes" "$store" charge-3 4200
prints '503 attempt 1 stopped in the middle; look whether it charged'
says_not 'charging'

expect 1 "$outcomes" sqlite:///no/such/folder/x.db charge-1 4200
says "can't be opened"
expect 64 "$outcomes"
says 'usage:'
