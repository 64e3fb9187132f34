#!/bin/sh
# SPDX-License-Identifier: MIT
# The static probes are in the shared library, and the example for bpftrace uses these and no others.
# test_probes.sh LIBRARY
set -eu
library=$1
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "FAILED: $*"
  exit 1
}

readelf -n "$library" 2>/dev/null | awk '$1 == "Provider:" { provider = $2 } $1 == "Name:" { print provider ":" $2 }' |
  sort -u >"$work/there"
printf '%s\n' idem:call_end idem:call_start idem:repeat idem:trip_end idem:trip_start >"$work/wanted"
diff "$work/wanted" "$work/there" || fail "< should be a probe, > is one"

# So many arguments has each, which are read by number.
for probe in call_start:4 call_end:5 trip_start:2 trip_end:3 repeat:3; do
  readelf -n "$library" 2>/dev/null | awk -v name="${probe%:*}" -v wanted="${probe#*:}" '
    $1 == "Name:" { on = $2 == name }
    on && $1 == "Arguments:" { if (NF - 1 != wanted) exit 1; seen = 1 }
    END { if (!seen) exit 1 }' || fail "${probe%:*} has not ${probe#*:} arguments"
done

version=$(basename "$(readlink -f "$library")")
sed -n 's/^usdt:\([^:]*\):\(.*\)/\1 \2/p' "$here/../../examples/idem.bt" >"$work/used"
[ "$(cut -d ' ' -f 2 "$work/used" | sort -u)" = "$(cat "$work/wanted")" ] || fail "the example uses other probes"
while read -r file _; do
  case $version in
  "$file" | "$file".*) ;;
  *) fail "the example names $file, and the library is $version" ;;
  esac
done <"$work/used"
