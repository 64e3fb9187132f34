#!/bin/sh
# SPDX-License-Identifier: MIT
# What idem_stats_text() writes is OpenMetrics, and says what was done. $1 makes calls and prints it.
set -eu
program=$1
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
text=$work/text

fail() {
  echo "FAILED: $*"
  cat "$text"
  exit 1
}

# check TEXT: true if it keeps the rules.
check() {
  LC_ALL=C awk -f "$here/openmetrics.awk" "$1"
}

has() {
  grep -qxF -e "$1" "$text" || fail "no line: $1"
}

"$program" memory:// >"$text" || fail "it did not run"
check "$text" || fail "it breaks a rule"
has 'idem_calls_total{call="begin",code="OK"} 3'
has 'idem_calls_total{call="get",code="NOT_FOUND"} 1'
has 'idem_begins_total{outcome="new"} 1'
has 'idem_begins_total{outcome="completed"} 2'
has 'idem_call_duration_seconds_count{call="begin"} 3'
has 'idem_connections{state="idle"} 1'
has '# UNIT idem_call_duration_seconds seconds'
grep -q 'charge-42\|charged' "$text" && fail "a key or a response is in it"

"$program" memory:// 'a "b\' >"$text" || fail "it did not run with a name"
check "$text" || fail "it breaks a rule when the store has a name"
has 'idem_kept_claims{store="a \"b\\"} 0'

# The rules find what is wrong.
"$program" memory:// >"$text"
broken() {
  sed "$1" "$text" >"$work/broken"
  if check "$work/broken" >/dev/null; then
    fail "nothing was found where: $1"
  fi
}
broken '$d'
broken 's/^# TYPE idem_calls counter/# TYPE idem_calls_total counter/'
broken 's/^\(# UNIT idem_call_duration_seconds\) .*/\1 ms/'
broken 's/^\(idem_call_duration_seconds_count{call="begin"}\) .*/\1 4/'
broken 's/^\(idem_call_duration_seconds_bucket{call="begin",le="20.000000"}\) .*/\1 0/'
broken '/^# HELP idem_waiters/d'
broken 's/^idem_waiters/idem_sleepers/'
