#!/bin/sh
# SPDX-License-Identifier: MIT
# Starts a small Redis Cluster of three masters and three replicas on this machine, lets four
# consumers book the same events through it, kills a master in the middle, and checks the ledger:
#
#   redis-cluster.sh [PORT]      the nodes are on PORT to PORT+5 of 127.0.0.1; 17100 unless given
#
# Needs redis-server 7 and redis-cli, and the command idem: in PATH, or where IDEM says.
#
# What it shows: the consumers pause until the replica has taken over, and go on. What a failover can
# cost: Redis acknowledges a write before its replicas have it, so the dead master's last records may
# be gone, and the events in them are then booked once more. Nothing is booked never.
set -eu

base=${1:-17100}
idem=${IDEM:-idem}
events=${EVENTS:-60}
folder=$(mktemp -d)
nodes=
consumers=

fail() {
  echo "redis-cluster: $1" >&2
  exit 1
}

stop_all() {
  for pid in $consumers $nodes; do
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf -- "$folder"
}
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

ask() {
  port=$1
  shift
  redis-cli -h 127.0.0.1 -p "$port" "$@"
}

# await WHAT COMMAND…: until the command succeeds.
await() {
  what=$1
  shift
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "$what"
    sleep 0.1
  done
}

answers() {
  [ "$(ask "$1" ping 2>/dev/null)" = PONG ]
}

is_up() {
  ask "$1" cluster info 2>/dev/null | grep -q '^cluster_state:ok'
}

follows() {
  ask "$1" info replication 2>/dev/null | grep -q '^master_link_status:up'
}

is_master() {
  ask "$1" role 2>/dev/null | grep -qx master
}

# start NUMBER: appendonly, so that a node which comes back has what it had.
start() {
  port=$((base + $1))
  mkdir "$folder/$port"
  redis-server --port "$port" --bind 127.0.0.1 --dir "$folder/$port" --save '' --appendonly yes \
    --cluster-enabled yes --cluster-port $((base + 100 + $1)) --cluster-node-timeout 1000 \
    --cluster-replica-validity-factor 0 >"$folder/$port.log" 2>&1 &
  nodes="$nodes $!"
  await "redis-server on port $port does not start: $(cat "$folder/$port.log")" answers "$port"
}

make_cluster() {
  hosts=
  for i in 0 1 2 3 4 5; do
    start "$i"
    hosts="$hosts 127.0.0.1:$((base + i))"
  done
  # shellcheck disable=SC2086 # a list
  redis-cli --cluster create $hosts --cluster-replicas 1 --cluster-yes >"$folder/create.log" ||
    fail "the cluster can't be made: $(cat "$folder/create.log")"
  for i in 0 1 2 3 4 5; do
    await "the cluster does not come up" is_up $((base + i))
  done
  for i in 3 4 5; do
    await "a replica does not follow its master" follows $((base + i))
  done
}

# What a consumer does with an event; it is done once, or again where a failover lost the record.
book() {
  "$idem" run --quiet --lease 20s --wait 30s "event-$1" -- \
    sh -c "echo event-$1 >>'$folder/ledger'"
}

# consume FIRST: all events, beginning with this one.
consume() {
  n=0
  while [ "$n" -lt "$events" ]; do
    book $((($1 + n) % events)) || echo "event-$((($1 + n) % events)): exit $?" >>"$folder/failed"
    n=$((n + 1))
  done
}

IDEM_STORE="redis+cluster://127.0.0.1:$base,127.0.0.1:$((base + 1)),127.0.0.1:$((base + 2))?timeout=20s&connect_timeout=500ms"
export IDEM_STORE
command -v "$idem" >/dev/null || fail "there is no $idem; set IDEM to where it is"
command -v redis-server >/dev/null || fail "there is no redis-server; install it"
: >"$folder/ledger"
: >"$folder/failed"
echo "== Three masters and three replicas on ports $base to $((base + 5))"
make_cluster
echo "== Four consumers, each given all of $events events"
for first in 0 15 30 45; do
  consume "$first" &
  consumers="$consumers $!"
done
await "the consumers book nothing" test -s "$folder/ledger"
sleep 0.3
# shellcheck disable=SC2086 # a list
set -- $nodes
kill -9 "$1"
echo "== The master on port $base was killed after $(grep -c . "$folder/ledger") bookings"
for pid in $consumers; do
  wait "$pid" || true
done
consumers=
echo "== The ledger"
[ ! -s "$folder/failed" ] || fail "calls failed: $(cat "$folder/failed")"
booked=$(sort -u "$folder/ledger" | grep -c .)
again=$(sort "$folder/ledger" | uniq -d | grep -c . || true)
echo "Events: $events    booked: $booked    booked again, since the failover lost the record: $again"
[ "$booked" = "$events" ] || fail "events were not booked"
masters=0
for i in 1 2 3 4 5; do
  if is_master $((base + i)); then
    masters=$((masters + 1))
  fi
done
[ "$masters" = 3 ] || fail "no replica took over: there are $masters masters"
echo "A replica took over; every event was booked."
