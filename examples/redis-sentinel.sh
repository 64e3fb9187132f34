#!/bin/sh
# SPDX-License-Identifier: MIT
# Starts a Redis primary with two replicas and three sentinels on this machine, runs commands once each
# with idem while the primary is killed, and shows that every command ran once:
#
#   redis-sentinel.sh [PATH-OF-IDEM]
#
# Needs redis-server (or valkey-server) and its command line client. Listens on free ports of 127.0.0.1,
# writes into a temporary folder, and removes all again.
set -eu

idem=${1:-idem}
jobs=20
dir=$(mktemp -d "${TMPDIR:-/tmp}/idem-sentinel-XXXXXX")
pids=

fail() {
  echo "redis-sentinel: $1" >&2
  exit 1
}

# Only what was started here, by its process id.
stop_all() {
  for pid in $pids; do
    kill -9 "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf -- "$dir"
}
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

command -v "$idem" >/dev/null || fail "there is no $idem: name its path"
if command -v redis-server >/dev/null; then
  server=redis-server client=redis-cli
elif command -v valkey-server >/dev/null; then
  server=valkey-server client=valkey-cli
else
  fail 'install redis-server or valkey-server'
fi

# ask PORT WORDS…
ask() {
  port=$1
  shift
  "$client" -p "$port" "$@" 2>/dev/null
}

# until_true WORDS…: for some 30 s
until_true() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "this did not come about: $*"
    sleep 0.1
  done
}

answers() {
  [ "$(ask "$1" ping)" = PONG ]
}

# start NAME PORT WORDS…: in a folder of its own. Its process id is in $pid. A port that is taken is
# somebody else's server: what was started here has ended then.
start() {
  name=$1 port=$2
  shift 2
  mkdir "$dir/$name"
  (cd "$dir/$name" && exec "$server" "$@" >log 2>&1) &
  pid=$!
  pids="$pids $pid"
  until_true answers "$port"
  kill -0 "$pid" 2>/dev/null || fail "port $port is taken: run it again"
}

node() {
  start "$1" "$2" --port "$2" --bind 127.0.0.1 --appendonly yes --save '' --repl-diskless-sync-delay 0 \
    --min-replicas-to-write 1 --min-replicas-max-lag 10
}

sentinel() {
  printf 'port %s\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 %s 2\n' "$2" "$base" >"$dir/$1.conf"
  printf 'sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 10000\n' >>"$dir/$1.conf"
  start "$1" "$2" "$dir/$1.conf" --sentinel
}

has_two_replicas() {
  ask "$base" info replication | grep -q '^connected_slaves:2'
}

know_each_other() {
  ask "$1" sentinel ckquorum shop | grep -q '^OK 3 usable'
}

primary_of() {
  ask "$1" sentinel get-master-addr-by-name shop | tail -n 1
}

is_another() {
  [ "$(primary_of "$((base + 4))")" != "$base" ]
}

base=$((20000 + $$ % 20000))
node primary "$base"
primary=$pid
node replica-1 $((base + 1))
node replica-2 $((base + 2))
ask $((base + 1)) replicaof 127.0.0.1 "$base" >/dev/null
ask $((base + 2)) replicaof 127.0.0.1 "$base" >/dev/null
until_true has_two_replicas
for i in 3 4 5; do
  sentinel sentinel-$i $((base + i))
done
for i in 3 4 5; do
  until_true know_each_other $((base + i))
done

# A change counts once one replica has it, and sentinels promote the replica that has most: so the loss of
# the primary alone loses nothing that was acknowledged. Two would be too many to ask for, since one is left.
hosts=127.0.0.1:$((base + 3)),127.0.0.1:$((base + 4)),127.0.0.1:$((base + 5))
IDEM_STORE="redis+sentinel://$hosts/shop?timeout=60s&replicas=1"
export IDEM_STORE
echo "primary at port $base, store $IDEM_STORE"

# Each job is asked for twice, as a queue that delivers at least once does.
work() {
  i=1
  while [ "$i" -le "$jobs" ]; do
    # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
    "$idem" run --quiet "job-$i" --wait 60s -- sh -c 'echo "$1" >>"$2"' sh "$i" "$dir/ledger" ||
      echo "job $i: exit code $?" >>"$dir/errors"
    i=$((i + 1))
    sleep 0.1
  done
}

: >"$dir/ledger"
: >"$dir/errors"
work &
first=$!
work &
second=$!
pids="$pids $first $second"
sleep 0.5
echo 'the primary is killed'
kill -9 "$primary"
until_true is_another
echo "the sentinels name port $(primary_of "$((base + 4))")"
wait "$first" "$second"

cat "$dir/errors"
[ ! -s "$dir/errors" ] || fail 'a job failed'
ran=$(wc -l <"$dir/ledger")
different=$(sort -u "$dir/ledger" | wc -l)
echo "$jobs jobs, asked for twice each: $ran ran, $different different ones"
if [ "$ran" -ne "$jobs" ] || [ "$different" -ne "$jobs" ]; then
  fail 'a job ran twice, or not at all'
fi
