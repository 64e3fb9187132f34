#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/postgres_transaction.c: rolled back, committed, replayed. $1: the program; $2: idem. The database is
# $IDEM_TEST_URL, which is empty.
. "$(dirname "$0")/helper.sh"
postgres_transaction=$1
idem=$2
url=$IDEM_TEST_URL

expect 0 "$postgres_transaction" "$url"
prints 'rolled back
deposits: 0
booked {"deposit":2}
deposits: 1
replayed {"deposit":2}
deposits: 1'
says 'deposit_cents_check'

# Another process finds the rows and the record; the refused deposit is answered from it now.
expect 0 "$postgres_transaction" "$url"
prints 'replayed {"deposit":2}
deposits: 1
replayed {"deposit":2}
deposits: 1
replayed {"deposit":2}
deposits: 1'

# A key that somebody holds outside of a transaction: nothing is booked, whatever it is.
expect 0 "$idem" --store "$url" forget deposit-17
expect 0 "$idem" --store "$url" begin deposit-17
expect 0 "$postgres_transaction" "$url"
prints 'rolled back
deposits: 1
rolled back
deposits: 1
rolled back
deposits: 1'
says 'the key is in use'

expect 1 "$postgres_transaction" 'postgresql:///postgres?host=/no/such/folder'
says 'cannot open the database'
