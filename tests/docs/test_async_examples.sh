#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs an example of submitted calls: many repeats of few payments, then all of them again. Each is
# charged once and replayed otherwise. test_async_examples.sh PROGRAM STORE epoll|libuv
set -eu

program=$1
store=$2
kind=$3
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "test_async_examples: $1" >&2
  cat "$work"/out* >&2
  exit 1
}

# 200 lines, 20 payments, each ten times.
i=0
while [ "$i" -lt 200 ]; do
  echo "p-$((i % 20))"
  i=$((i + 1))
done >"$work/payments"

run() {
  case $kind in
  epoll) cat "$work/payments" | "$program" "$1" ;;
  libuv) xargs "$program" "$1" <"$work/payments" ;;
  esac
}

url=$(echo "$store" | sed "s|DIR|$work|")
run "$url" >"$work/out" || fail "the first run failed"
[ "$(grep -c '^charged ' "$work/out")" = 20 ] || fail "not every payment was charged once"
[ "$(grep '^charged ' "$work/out" | sort -u | grep -c '')" = 20 ] || fail "one was charged twice"
[ "$(grep -c '^replayed {"charged":"p-' "$work/out")" = 180 ] || fail "not every repeat was replayed"
case $url in
memory:*) ;;
*)
  run "$url" >"$work/out2" || fail "the second run failed"
  [ "$(grep -c '^replayed ' "$work/out2")" = 200 ] || fail "the second run was not replayed"
  ;;
esac
