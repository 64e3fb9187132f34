#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing, builds libidem, and shows what it is for:
#
#   quickstart.sh                               on SQLite
#   quickstart.sh postgresql://user@host/db     on a PostgreSQL database, in which it makes the tables
#                                               idem_record and ledger
#
# Asks nothing, runs from any directory, and needs root or sudo only if packages are missing.
# IDEM_BUILD names another folder for what is built; without it that is build/ beside examples/.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
build=${IDEM_BUILD:-$root/build}/quickstart
data=$root/examples/data/webhooks.jsonl
running=
url=${1:-}
prefix=quickstart-$(date +%s)-$$:

fail() {
  echo "quickstart: $1" >&2
  exit 1
}

heading() {
  printf '\n== %s\n' "$1"
}

stop_consumers() {
  for pid in $running; do
    kill -9 "$pid" 2>/dev/null || true
  done
}
trap stop_consumers EXIT
trap 'exit 130' INT TERM HUP

# The store of the command: a database of its own, or keys of its own in the one that was named.
store_for() {
  case $url in
  '') echo "sqlite:$1.db" ;;
  *\?*) echo "$url&prefix=$prefix" ;;
  *) echo "$url?prefix=$prefix" ;;
  esac
}

# Shows a command as one would type it, and runs it.
show() {
  echo "\$ $*"
  "$@"
}

idem() {
  "$build/cli/idem" "$@"
}

build_all() {
  mkdir -p -- "$build" || fail "cannot write there; set IDEM_BUILD to a folder of your own"
  build=$(cd -- "$build" && pwd -P)
  sh "$root/cmake/build.sh" "$build" -D CMAKE_BUILD_TYPE=Release -D BUILD_TESTING=OFF \
    -D IDEM_BUILD_CLI=ON -D IDEM_BUILD_EXAMPLES=ON \
    >"$build/quickstart.log" 2>&1 || {
    cat "$build/quickstart.log"
    fail "the build failed; what it said is above"
  }
}

# ------------------------------------------------------------------ in the shell: the idem command

run_twice() {
  heading "A command that runs once: the second time its output is replayed"
  IDEM_STORE=$(store_for jobs)
  export IDEM_STORE
  cat >send-invoice <<'END'
#!/bin/sh
echo "invoice sent by process $$" | tee -a outbox
END
  chmod +x send-invoice
  show idem run invoice-42 -- ./send-invoice >first.out
  show idem run invoice-42 -- ./send-invoice >second.out
  cat first.out second.out
  sed 1d first.out | cmp -s - outbox || fail "the first run did not do the work"
  cmp -s first.out second.out || fail "the second run was no replay of the first"
  echo "Invoices in the outbox: $(grep -c . outbox)"
}

take_over() {
  heading "A worker that dies: the next one waits until the lease has run out, and is told"
  show idem begin report-7 --lease 1s
  status=0
  show idem begin report-7 || status=$?
  [ "$status" = 11 ] || fail "report-7 should be in progress (exit 11, not $status)"
  show idem begin report-7 --wait 10s >taken.out
  cat taken.out
  grep -q '"attempt":2' taken.out || fail "report-7 was not taken over"
}

# --------------------------------------------------- in a program: claim and ledger row in one commit

# Starts a consumer in the background: its name, then its options.
consume() {
  name=$1
  shift
  "$build/examples/webhook_consumer" --db "${url:-payments.db}" --prefix "${url:+$prefix}" \
    --name "$name" --pause-ms 4 "$@" "$data" \
    >"$name.log" 2>&1 </dev/null &
  running="$running $!"
}

# Waits until a consumer stands in the middle of an event, then kills it as a power cut would.
kill_in_the_middle() {
  until grep -q '^stalled in ' "$1.log"; do
    kill -0 "$2" 2>/dev/null || fail "consumer $1 ended too early: $(cat "$1.log")"
    sleep 0.05
  done
  kill -9 "$2"
  wait "$2" 2>/dev/null || true
  echo "Consumer $1 was killed after it had booked 20 events, with $(half_done "$1") half done."
}

half_done() {
  sed -n 's/^stalled in //p' "$1.log"
}

run_consumers() {
  heading "Four consumers at once, each given all of $(grep -c . "$data") deliveries; one is killed"
  consume D --start 340 --stall-after 20
  victim=$!
  for each in A:0 B:110 C:220; do
    consume "${each%:*}" --start "${each#*:}"
  done
  kill_in_the_middle D "$victim"
  running=${running#" $victim"}
  for pid in $running; do
    wait "$pid" || fail "a consumer failed: $(cat [A-C].log)"
  done
  running=
  for name in A B C; do
    echo "Consumer $name: $(cat "$name.log")"
  done
}

# What the ledger must say, worked out from the data without libidem: event, currency, value.
expected_ledger() {
  awk '
  function field(name,   text) {
    match(event, "\"" name "\":\"?[^\",}]*")
    text = substr(event, RSTART, RLENGTH)
    sub("\"" name "\":\"?", "", text)
    return text
  }
  {
    event = substr($0, index($0, "\"event\":"))
    type = field("type")
    sign = type == "payment.succeeded" ? 1 : type == "refund.created" || type == "dispute.lost" ? -1 : 0
    if (!seen[field("id")]++)
      print field("id"), field("currency"), sign * field("amount")
  }' "$data" | LC_ALL=C sort
}

balances() {
  awk '{ sum[$2] += $3 } END { for (currency in sum) print currency, sum[currency] }' "$1" |
    LC_ALL=C sort | paste -s -d ' ' -
}

check_ledger() {
  heading "The ledger, checked against the data"
  "$build/examples/webhook_consumer" --db "${url:-payments.db}" --ledger >ledger.out
  cut -d ' ' -f 1-3 ledger.out | LC_ALL=C sort >booked.out
  expected_ledger >expected.out
  diff expected.out booked.out || fail "the ledger is wrong: < should be there, > should not"
  echo "Events in the data: $(grep -c . expected.out)    entries in the ledger: $(grep -c . booked.out)"
  echo "Balances in the data:   $(balances expected.out)"
  echo "Balances in the ledger: $(balances booked.out)"
  event=$(half_done D)
  echo "Event $event, which D left half done, was booked once, by $(awk -v event="$event" \
    '$1 == event { print $4 }' ledger.out):"
  IDEM_STORE=$(store_for payments) # not in the line that is shown: a URL may have a password in it
  show idem get "webhooks:$event"
}

sh "$root/cmake/install-packages.sh" build
heading "Building in $build"
build_all
rm -rf -- "$build/demo"
mkdir -- "$build/demo"
cd -- "$build/demo"
"$build/examples/webhook_consumer" --db "${url:-payments.db}" --reset || fail "there is no database"
run_twice
take_over
run_consumers
check_ledger
heading "Each event was booked exactly once"
echo "The command is $build/cli/idem, what it kept is in $build/demo"
