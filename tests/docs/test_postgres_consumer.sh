#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/webhook_consumer.c on PostgreSQL: the same program, by the URL alone. $1: the program; $2: its
# deliveries. The database is $IDEM_TEST_URL, which is empty.
. "$(dirname "$0")/helper.sh"
consumer=$1
deliveries=$2

for name in A B; do
    "$consumer" --db "$IDEM_TEST_URL" --name "$name" --pause-ms 0 "$deliveries" >"$name.log" 2>&1 &
done
wait
cat A.log B.log
expect 0 "$consumer" --db "$IDEM_TEST_URL" --ledger
events=$(cut -d ' ' -f 1 out | sort -u | grep -c .)
entries=$(grep -c . out)
[ "$events" = 300 ] && [ "$entries" = 300 ] || {
    echo "FAILED: $entries entries of $events events"
    exit 1
}
