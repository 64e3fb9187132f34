#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes webhooks.jsonl, always the same: make-webhooks.sh > webhooks.jsonl
#
# 300 events in 450 deliveries. A delivery that was not acknowledged comes again 5 s, 30 s or 5 min
# later, and the network's delay mixes up the order: this is what "at least once" looks like.
set -eu

awk '
function random(n) { # 0 to n - 1; a generator of our own, since awks differ in theirs
  seed = (seed * 16807) % 2147483647
  return int(seed / 2147483647 * n)
}
function id(prefix, len,   text) {
  text = prefix "_"
  while (len-- > 0)
    text = text substr(letters, random(length(letters)) + 1, 1)
  return text
}
function deliver(attempt, at_ms) {
  printf "%d\t{\"delivery\":{\"id\":\"%s\",\"attempt\":%d,\"sent_at_ms\":%.0f},\"event\":%s}\n",
    at_ms - start_ms, id("dlv", 10), attempt, at_ms, event
}
BEGIN {
  letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
  split("payment.succeeded payment.succeeded payment.succeeded payment.succeeded " \
    "refund.created payment.failed dispute.lost", types, " ")
  split("EUR EUR EUR USD USD GBP JPY", currencies, " ")
  split("5000 30000 300000", backoff_ms, " ")
  seed = 20261123
  start_ms = 1795420800000
  for (i = 0; i < 300; i++) {
    created_ms = start_ms + i * 1500 + random(1500)
    event = sprintf("{\"id\":\"%s\",\"type\":\"%s\",\"created\":%.0f,\"data\":{\"payment\":\"%s\"," \
      "\"customer\":\"%s\",\"amount\":%d,\"currency\":\"%s\"}}", id("evt", 14), types[random(7) + 1],
      int(created_ms / 1000), id("pay", 12), id("cus", 8), 100 + random(49900),
      currencies[random(7) + 1])
    at_ms = created_ms + 40 + random(4000)
    deliver(1, at_ms)
    repeats = i % 12 == 0 ? 3 : i % 4 == 1 ? 1 : 0
    for (attempt = 1; attempt <= repeats; attempt++) {
      at_ms += backoff_ms[attempt] + random(800)
      deliver(attempt + 1, at_ms)
    }
  }
}' | sort -n | cut -f 2-
