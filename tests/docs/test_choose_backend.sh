#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/choose_backend.c: the default, a store of the environment's, and names that don't work.
# $1: the program; $2: idem.
. "$(dirname "$0")/helper.sh"
choose_backend=$1
idem=$2

expect 0 "$choose_backend" 2026-01-31
prints 'sending the report of 2026-01-31'
expect 0 "$choose_backend" 2026-01-31
prints 'the report of 2026-01-31 is sent already'
[ -s reports.db ] || fail "the default store is not reports.db"

export IDEM_STORE=sqlite:other.db
expect 0 "$choose_backend" 2026-01-31
prints 'sending the report of 2026-01-31'
expect 0 "$idem" get report:2026-01-31
grep -qF '"response":{"sent":true}' out || fail "idem does not see the record"
expect 0 "$idem" forget report:2026-02-01
expect 0 "$idem" begin report:2026-02-01
expect 0 "$choose_backend" 2026-02-01
prints 'the report of 2026-02-01 is being sent by another process'

IDEM_STORE=memory://
expect 0 "$choose_backend" 2026-01-31
says 'for tests only'
IDEM_STORE=
expect 0 "$choose_backend" 2026-01-31
prints 'the report of 2026-01-31 is sent already'

IDEM_STORE='mysql://app:secret@db/jobs'
expect 78 "$choose_backend" 2026-01-31
says '$IDEM_STORE: unknown scheme mysql'
says_not 'secret'
IDEM_STORE="sqlite:other.db?leese=30s"
expect 78 "$choose_backend" 2026-01-31
says 'leese'
IDEM_STORE=sqlite:///no/such/folder/x.db
expect 69 "$choose_backend" 2026-01-31
says "can't be opened"
