#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/sqlite_transaction.c: rolled back, committed, replayed. $1: the program; $2: idem.
. "$(dirname "$0")/helper.sh"
sqlite_transaction=$1
idem=$2

expect 0 "$sqlite_transaction" bank.db
prints 'rolled back
deposits: 0
booked {"deposit":1}
deposits: 1
replayed {"deposit":1}
deposits: 1'
says 'CHECK constraint failed'

# Another process finds the rows and the record; the refused deposit is answered from it now.
expect 0 "$sqlite_transaction" bank.db
prints 'replayed {"deposit":1}
deposits: 1
replayed {"deposit":1}
deposits: 1
replayed {"deposit":1}
deposits: 1'

expect 1 "$sqlite_transaction" no/such/folder/bank.db
says 'cannot open the database'

# A key that somebody holds outside of a transaction: nothing is booked, whatever it is.
expect 0 "$idem" --store sqlite:bank.db forget deposit-17
expect 0 "$idem" --store sqlite:bank.db begin deposit-17
expect 0 "$sqlite_transaction" bank.db
prints 'rolled back
deposits: 1
rolled back
deposits: 1
rolled back
deposits: 1'
says 'the key is in use'

expect 1 "$sqlite_transaction" no/such/folder/bank.db
says 'cannot open the database'
