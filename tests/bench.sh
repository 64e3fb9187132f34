#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures the library against the least C that does the same work, against what one would pick
# instead, and against itself; prints what was seen beside what has to be reached.
#
#   bench.sh                  all rows, 5 rounds; writes the tables and plots of docs/performance.md
#   bench.sh --quick          that everything works: one round, few keys, two minutes; writes no document
#   bench.sh link             only what a network and other callers have to do with: --rows '^(link|beside)-'
#   bench.sh --rows PATTERN   only rows whose name matches (an extended regular expression); likewise no document
#   bench.sh --rounds N       more rounds or fewer
#   bench.sh --sizes N,N...   other numbers of records than 10^3 to 10^7, which take some 8 GiB of memory and of disk
#   bench.sh --output DIR     where the raw results, the table and the plots go; build/bench/results if not said
#
# A row is measured in rounds, and in each round both of its sides, one directly after the other, so that
# what else the machine does meets both. What counts is the ratio of the medians. What is measured is in
# bench/rows. Nothing fails for being slow: the exit code tells whether everything ran.
# IDEM_BUILD names another folder for what is built; the stores on disk are made there too.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
here=$root/tests/bench
build=${IDEM_BUILD:-$root/build}/bench
results=
rounds=
sizes=
quick=no
wanted=.
all_sizes=1000,10000,100000,1000000,10000000
exec </dev/null

# shellcheck source=bench/places.sh
. "$here/places.sh"

usage() {
  echo "usage: bench.sh [link] [--quick] [--rows PATTERN] [--rounds N] [--sizes N,N...] [--output DIR]" >&2
  exit 64
}

read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
    --quick)
      quick=yes
      shift
      continue
      ;;
    link)
      wanted='^(link|beside)-'
      shift
      continue
      ;;
    --rows | --rounds | --sizes | --output) [ $# -gt 1 ] || usage ;;
    *) usage ;;
    esac
    case $1 in
    --rows) wanted=$2 ;;
    --rounds) rounds=$2 ;;
    --sizes) sizes=$2 ;;
    --output) results=$2 ;;
    esac
    shift 2
  done
  if [ -z "$rounds" ]; then
    rounds=5
    [ "$quick" = no ] || rounds=1
  fi
  case $rounds in
  '' | *[!0-9]* | 0) usage ;;
  esac
  few_records=
  if [ "$quick" = yes ]; then
    few_records="--records 500"
    sizes=${sizes:-1000,10000}
  fi
}

# ------------------------------------------------------------------------------------- building

build_all() {
  sh "$root/cmake/install-packages.sh" bench
  mkdir -p -- "$build" "${results:=$build/results}"
  build=$(cd -- "$build" && pwd -P)
  programs=$build/tests/bench
  results=$(cd -- "$results" && pwd -P)
  IDEM_TARGETS="bench idem_cli" sh "$root/cmake/build.sh" "$build" -D CMAKE_BUILD_TYPE=Release \
    -D IDEM_BUILD_TESTS=ON -D IDEM_BUILD_CLI=ON \
    >"$build/build.log" 2>&1 || {
    cat "$build/build.log"
    exit 1
  }
  rm -f -- "$results"/*.data "$results"/*.svg
  : >"$results/raw"
  : >"$results/errors"
}

# The peers are of npm: they run where node is, and where npm can install them.
install_peers() {
  missing_peers=
  for tool in npm node; do
    command -v "$tool" >/dev/null 2>&1 || missing_peers="$tool is missing"
  done
  [ -z "$missing_peers" ] || return 0
  mkdir -p -- "$build/peers"
  cp -- "$here"/peers/* "$build/peers/"
  if ! cmp -s "$build/peers/package-lock.json" "$build/peers/installed"; then
    if ! npm ci --prefix "$build/peers" --ignore-scripts --no-audit --no-fund --prefer-offline \
      --fetch-retries=1 --fetch-timeout=20000 >"$build/peers.log" 2>&1; then
      missing_peers="npm could not install it"
      return 0
    fi
    cp -- "$build/peers/package-lock.json" "$build/peers/installed"
  fi
}

# ------------------------------------------------------------------------------------ measuring

# why_not PROGRAM: why a program can't be run here; nothing if it can.
why_not() {
  case $1 in
  powertools | node-idempotency) echo "$missing_peers" ;;
  idem-run | '') ;;
  one-row) [ -x "$programs/one_row" ] || echo "one_row was not built" ;;
  *) [ -x "$programs/$1" ] || echo "$1 was not built" ;;
  esac
}

# run OPS PROGRAM [ARGUMENTS...]: prints what the program measured.
run() {
  keys=$1
  program=$2
  shift 2
  case $program in
  powertools | node-idempotency)
    # shellcheck disable=SC2086 # two words, split on purpose
    "$pin" node "$build/peers/main.mjs" "$program" --ops "$keys" "$@" $few_records
    ;;
  idem-run)
    IDEM_STORE=$1 "$build/cli/idem" run key -- true
    IDEM_STORE=$1 "$pin" "$programs/spawn" "$keys" "$build/cli/idem" run key -- true
    ;;
  one-row)
    IDEM_STORE=$1 "$build/cli/idem" run key -- true
    "$pin" "$programs/spawn" "$keys" "$programs/one_row" "$1" key
    ;;
  spawn) "$pin" "$programs/spawn" "$keys" "$@" ;;
  *)
    # shellcheck disable=SC2086 # two words, split on purpose
    "$pin" "$programs/$program" --ops "$keys" "$@" $few_records
    ;;
  esac
}

# measure NAME SIDE ROUND OPS COMMAND...: one measurement on fresh stores, as a line of the raw results.
measure() {
  prefix="$1 $2 $3"
  side_ops=$4
  shift 4
  words=
  for word in "$@"; do
    case $word in
    @*) open_place "${word#@}" && word=$place ;;
    esac
    words="$words $word"
  done
  # shellcheck disable=SC2086 # several words, split on purpose; places hold no spaces
  if run "$side_ops" $words >"$work/out" 2>"$work/err"; then
    sed "s/^/$prefix /" "$work/out" >>"$results/raw"
  else
    printf '%s failed: %s\n' "$prefix" "$(tail -n 1 "$work/err")" | tee -a "$results/errors" >&2
  fi
  close_places
}

# scaled OPS: how many keys are used; few where it is only to be seen that it works.
scaled() {
  if [ "$quick" = yes ] && [ "$1" -gt 1 ]; then
    echo $(($1 / 20 + 20))
  else
    echo "$1"
  fi
}

# measure_row NAME KIND OPS A B
measure_row() {
  a_ops=$(scaled "${3%/*}")
  b_ops=$(scaled "${3#*/}")
  if [ "$2" = growth ]; then
    # shellcheck disable=SC2086 # several words, split on purpose
    measure "$1" a 0 "$a_ops" $4 --sizes "${sizes:-$all_sizes}" --rounds "$rounds"
    return
  fi
  round=1
  while [ "$round" -le "$rounds" ]; do
    # shellcheck disable=SC2086 # several words, split on purpose
    measure "$1" a "$round" "$a_ops" $4
    # shellcheck disable=SC2086 # several words, split on purpose
    [ -z "$5" ] || measure "$1" b "$round" "$b_ops" $5
    round=$((round + 1))
  done
}

# row NAME KIND CONDITIONS OPS A B: measures it, or says why not.
row() {
  reason=$(why_not "${5%% *}")
  reason=${reason:-$(why_not "${6%% *}")}
  reason=${reason:-$(why_not_conditions "$3")}
  if [ -n "$reason" ]; then
    echo "$1 not-run $reason" >>"$results/raw"
    return
  fi
  set_conditions "$3"
  measure_row "$1" "$2" "$4" "$5" "$6"
  unset_conditions
}

measure_all() {
  sed -e '/^#/d' -e 's/ *| */|/g' "$here/rows" | awk -F '|' -v wanted="$wanted" '$1 ~ wanted' >"$results/rows"
  [ -s "$results/rows" ] || {
    echo "No row matches $wanted" >&2
    exit 64
  }
  while IFS='|' read -r name work_done against _ kind conditions ops _ a b <&3; do
    printf '%s: %s, %s\n' "$name" "$work_done" "$against" >&2
    row "$name" "$kind" "$conditions" "$ops" "$a" "$b"
  done 3<"$results/rows"
}

# ---------------------------------------------------------------------------------- what was seen

first_line() {
  "$@" 2>/dev/null | head -n 1
}

describe_machine() {
  cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
  cat <<END
| machine | |
|---|---|
| date | $(date -u +%Y-%m-%d) |
| processors | $(getconf _NPROCESSORS_ONLN) x ${cpu:-unknown} |
| kernel | $(uname -sr) |
| file system of the stores | $(stat -f -c %T "$data") |
| C library, compiler | $(getconf GNU_LIBC_VERSION), $(first_line "${CC:-cc}" --version), Release |
| Redis | $(redis-server --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p') |
| SQLite | $(sqlite3 --version | cut -d ' ' -f 1) |
| PostgreSQL | $("$postgres_bin/postgres" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/') |
| node | $(first_line node --version || echo none) |
| rounds | $rounds |
| numbers of records | ${sizes:-$all_sizes} |
| load of the machine before, over 1, 5 and 15 minutes | $load |
END
}

report() {
  set -- "$results/rows" "$results/raw"
  awk -f "$here/measured.awk" -f "$here/table.awk" "$@" >"$results/table.md"
  awk -v dir="$results" -f "$here/measured.awk" -f "$here/charts.awk" "$@"
  for chart in "$results"/*.data; do
    [ -e "$chart" ] || continue
    awk -f "$here/plot.awk" "$chart" >"${chart%.data}.svg"
  done
  describe_machine >"$results/machine.md"
  cat "$results/table.md"
  if [ "$quick" = yes ]; then
    echo "That was one round with few keys: it shows that everything runs, and not how fast."
  fi
}

# The document gets what a whole run has seen, and nothing else.
write_document() {
  document=$root/docs/performance.md
  for part in machine table; do
    awk -v part="$part" -v file="$results/$part.md" -f "$here/insert.awk" "$document" >"$work/document"
    cp -- "$work/document" "$document"
  done
  mkdir -p -- "$root/docs/performance"
  cp -- "$results"/*.svg "$root/docs/performance/"
}

read_options "$@"
load=$(cut -d ' ' -f 1-3 /proc/loadavg)
build_all
install_peers
make_places "$build"
start_servers
measure_all
report
if [ "$quick" = no ] && [ "$wanted" = . ]; then
  write_document
fi
if [ -s "$results/errors" ]; then
  echo "Something did not run:" >&2
  cat "$results/errors" >&2
  exit 1
fi
