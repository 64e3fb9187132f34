#!/bin/sh
# SPDX-License-Identifier: MIT
# What a call costs, without a clock: instructions on the memory backend, system calls on Redis and SQLite,
# per key, held against the numbers in the file budget.
#
#   gate.sh PROGRAMS FOLDER BACKEND...   PROGRAMS: where the program `library` is; FOLDER: for scraps
#   gate.sh PROGRAMS FOLDER --show BACKEND...   prints the lines of a budget as they are now
#
# Each is the difference of two runs of different lengths, so that starting up and opening a store cancel
# out. In the mode `run` starting up is what is counted: a key is a replay by `idem run`, of which there are
# fewer. Only calls that succeeded count, and none that waits: how often a caller looks for an answer that is
# not there yet depends on the clock.
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
programs=$1
folder=$2
shift 2
show=no
if [ "${1:-}" = --show ]; then
  show=yes
  shift
fi
backends=" $* "
skipped=77
# The harness warms up with one key in 20 more.
short=200
long=1200
keys_per_run=40
idem=$programs/../../cli/idem
waiting='^(futex|poll|ppoll|select|pselect6|epoll_wait|epoll_pwait|sched_yield|nanosleep|clock_nanosleep|restart_syscall)$'
exec </dev/null

# shellcheck source=places.sh
. "$here/places.sh"

# counts TOOL MODE PLACE LENGTH: the file where a run leaves what a tool counted.
counts() {
  echo "$work/$1-$2-$3-$4"
}

# count_… MODE LENGTH URL FILE
count_instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$programs/library" --mode "$1" \
    --ops "$2" --records 200 "$3" >"$work/log" 2>&1 || return 1
  sed -n 's/.*Collected : *\([0-9]*\).*/instructions \1/p' "$work/log" >"$4"
}

# The same, of what the counters of a store take.
count_counters() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='idem__stats_*' \
    "$programs/library" --mode "$1" --ops "$2" --records 200 "$3" >"$work/log" 2>&1 || return 1
  sed -n 's/.*Collected : *\([0-9]*\).*/counters \1/p' "$work/log" >"$4"
}

# drive MODE LENGTH URL COMMAND...: the work, behind a command that counts.
drive() {
  mode=$1
  length=$2
  url=$3
  shift 3
  if [ "$mode" = run ]; then
    IDEM_STORE=$url "$idem" run key -- true &&
      IDEM_STORE=$url "$@" "$programs/spawn" $((length / keys_per_run)) "$idem" run key -- true
  else
    "$@" "$programs/library" --mode "$mode" --ops "$length" --records 20 "$url"
  fi
}

count_calls() {
  drive "$1" "$2" "$3" strace -f -c -o "$work/calls" >"$work/log" 2>&1 || return 1
  # A row: share, seconds, microseconds, calls, errors (if there were any), name.
  awk -v waiting="$waiting" '$4 ~ /^[0-9]+$/ && $NF != "total" {
    done = $4 - (NF == 6 ? $5 : 0)
    if ($NF !~ waiting)
      calls += done
    if ($NF ~ /^(f|fdata)sync$/)
      syncs += done
    if ($NF ~ /^(send|write)/)
      sends += done
  }
  END { printf "calls %d\nsyncs %d\nsends %d\n", calls, syncs, sends }' "$work/calls" >"$4"
}

# count_both TOOL MODE PLACE: a run of each length, once for all budgets that are read from it.
count_both() {
  for length in "$short" "$long"; do
    file=$(counts "$1" "$2" "$3" "$length")
    if [ -e "$file" ]; then
      continue
    fi
    open_place "$3"
    "$1" "$2" "$length" "$place" "$file" || {
      cat "$work/log"
      echo "$2 on $place: it did not run"
      return 1
    }
    close_places
  done
}

# per_key TOOL MODE PLACE WHAT
per_key() {
  keys=$(((long - short) * 21 / 20))
  [ "$2" != run ] || keys=$(((long - short) / keys_per_run))
  awk -v what="$4" -v keys="$keys" '$1 == what { at[++n] = $2 }
    END { printf "%.2f", (at[2] - at[1]) / keys }' \
    "$(counts "$1" "$2" "$3" "$short")" "$(counts "$1" "$2" "$3" "$long")"
}

# judge BACKEND MODE WHAT BUDGET TOLERANCE NUMBER
judge() {
  verdict=$(awk -v budget="$4" -v tolerance="$5" -v number="$6" 'BEGIN {
    most = budget * (1 + tolerance / 100)
    print (number > most ? "over" : number < budget * (1 - tolerance / 100) ? "under" : "within") }')
  echo "$1 $2: $6 $3 for each key, budget $4 (and $5 %)"
  case $verdict in
  over)
    failed=1
    echo "  OVER the budget \"$1 $2 $3\". If that is what it has to cost now, say why in the commit and" \
      "change that line of tests/bench/budget to $6"
    ;;
  under) echo "  far below: if gcc made this build, change that line of tests/bench/budget to $6, so that it stays so" ;;
  esac
}

# can TOOL: true if it is here and may do what it does.
can() {
  case $1 in
  count_instructions | count_counters) command -v valgrind >/dev/null 2>&1 ;;
  count_calls) command -v strace >/dev/null 2>&1 && strace -f -o /dev/null true 2>/dev/null ;;
  esac
}

# check_line BACKEND MODE WHAT PLACE BUDGET TOLERANCE
check_line() {
  tool=count_calls
  [ "$3" != instructions ] || tool=count_instructions
  [ "$3" != counters ] || tool=count_counters
  if ! can "$tool"; then
    left_out=1
    echo "$1 $2 $3: left out; it takes valgrind, or strace and the permission to trace"
    return
  fi
  if [ "$2" = run ] && [ ! -x "$idem" ]; then
    left_out=1
    echo "$1 $2 $3: left out; the command was not built"
    return
  fi
  if ! count_both "$tool" "$2" "$4"; then
    failed=1
    return
  fi
  number=$(per_key "$tool" "$2" "$4" "$3")
  if [ "$show" = yes ]; then
    printf '%-8s %-7s %-13s %-7s %8s %3s\n' "$1" "$2" "$3" "$4" "$number" "$6"
  else
    judge "$1" "$2" "$3" "$5" "$6" "$number"
  fi
}

failed=0
left_out=0
checked=0
make_places "$folder"
case $backends in
*' redis '*)
  if command -v redis-server >/dev/null 2>&1; then
    start_server plain --port 0 --appendonly no
  else
    left_out=1
    backends=$(echo "$backends" | sed 's/ redis / /')
    echo "redis: left out; there is no redis-server in PATH"
  fi
  ;;
esac
while read -r backend mode what at budget tolerance <&3; do
  case $backend:$backends in
  '#'* | :*) continue ;;
  "$backend":*" $backend "*) ;;
  *) continue ;;
  esac
  checked=$((checked + 1))
  check_line "$backend" "$mode" "$what" "$at" "$budget" "$tolerance"
done 3<"$here/budget"
if [ "$checked" = 0 ]; then
  echo "the budget has no line for:$backends"
  exit 1
fi
[ "$failed" = 0 ] || exit 1
[ "$left_out" = 0 ] || exit "$skipped"
