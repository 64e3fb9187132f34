#!/bin/sh
# SPDX-License-Identifier: MIT
# Checks the model of the protocol: the whole state space of each configuration without a mistake, and then
# each mutant, which has to fail at the guarantee that it breaks.
#
#   run.sh FOLDER [proof|long]    the verifiers are built in FOLDER; long adds larger configurations
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
work=$1
length=${2:-proof}
depth=3000000
search=-DSAFETY
cycles=
failed=0
exec </dev/null

for tool in spin cc; do
  if ! command -v "$tool" >/dev/null 2>&1; then
    echo "$tool is not here: the model can't be checked"
    if [ "${IDEM_SKIPS_FAIL:-0}" = 1 ]; then
      exit 1
    fi
    exit 77
  fi
done
mkdir -p -- "$work"
work=$(cd -- "$work" && pwd -P)

# build NAME OPTIONS...: makes the verifier $work/NAME/pan.
build() {
  name=$1
  shift
  mkdir -p -- "$work/$name"
  cd -- "$work/$name"
  spin "$@" -a "$here/protocol.pml" >spin.log 2>&1 || {
    cat spin.log
    exit 1
  }
  # shellcheck disable=SC2086 # several options, split on purpose
  cc -O1 -w $search -DNOREDUCE -o pan pan.c
}

figure() {
  sed -n "s/^ *\\([0-9][0-9.e+]*\\) $1.*/\\1/p" "$2" | head -n 1
}

# whole NAME WHAT: the model as it is, searched to the end.
whole() {
  log=$work/$1/whole.log
  cd -- "$work/$1"
  began=$(date +%s)
  # shellcheck disable=SC2086 # none or one option
  MUTANT=0 ./pan -m"$depth" $cycles >"$log" 2>&1 || true
  if ! grep -q 'errors: 0$' "$log" ||
    grep -Eqi 'too small|not completed|warning|out of memory|truncated' "$log"; then
    cat "$log"
    echo "FAILED: $1"
    failed=1
    return
  fi
  echo "$1 ($2): $(figure 'states, stored' "$log") states, $(figure 'transitions' "$log") transitions," \
    "depth $(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' "$log"), $(($(date +%s) - began)) s: ok"
}

# attempt CONFIGURATION NUMBER DEPTH: sets $found to what was broken and the steps that lead there, or to
# nothing; then $searched says whether all states were looked at.
attempt() {
  log=$work/$1/mutant-$2.log
  cd -- "$work/$1"
  # shellcheck disable=SC2086 # none or one option
  MUTANT=$2 ./pan -m"$3" $cycles >"$log" 2>&1 || true
  found=$(sed -n -e 's/^pan:1: assertion violated .*||\([a-z_0-9]*\)) (at depth \([0-9]*\))$/\1 \2/p' \
    -e 's/^pan:1: acceptance cycle (at depth \([0-9]*\))$/progress \1/p' "$log")
  searched=no
  if grep -q 'errors: 0$' "$log" && ! grep -Eqi 'too small|warning' "$log"; then
    searched=yes
  fi
}

# mutant NUMBER NAME EXPECTED CONFIGURATIONS: EXPECTED are the guarantees of which one is found broken, or
# "harmless", for which all states of all the configurations have to be searched in vain. Where a violation
# lies near the beginning, it is found there first.
mutant() {
  complete=yes
  for configuration in $4; do
    for limit in 90 120 150 "$depth"; do
      attempt "$configuration" "$1" "$limit"
      [ -z "$found" ] || break 2
    done
    [ "$searched" = yes ] || complete=no
  done
  broken=${found% *}
  if [ -z "$found" ] && [ "$complete" = yes ]; then
    broken=harmless
  fi
  case " $3 " in
  *" $broken "*) echo "mutant $2: $broken${found:+, after ${found#* } steps, in $configuration}" ;;
  *)
    echo "FAILED: mutant $2: ${broken:-not searched to the end}, expected: $3"
    failed=1
    ;;
  esac
}

# The mutants, in the order of their numbers, stand in the model; here is what each breaks.
mutants() {
  while read -r number name expected; do
    where="plain exact"
    case $name in
    *REINSERT_* | *_REINSTATED) where=reinstating ;;
    LATE_REINSERT) where=reinstating_late ;;
    SETTLE_* | FORGET_*) where=operators ;;
    esac
    defined=$(sed -n "s/^#define $name \\([0-9]*\\) .*/\\1/p" "$here/protocol.pml")
    if [ "$defined" != "$number" ]; then
      echo "FAILED: $name is not mutant $number in the model"
      failed=1
    fi
    case $expected in
    harmless) mutant "$number" "$name" harmless "exact shared" ;;
    *) mutant "$number" "$name" "$expected" "$where" ;;
    esac
  done <<'END'
1 REUSED_VERSION guarantee_1
2 RENEWAL_KEEPS guarantee_1
3 VERSION_RESTARTS guarantee_1 guarantee_3
4 COMPLETE_UNCHECKED guarantee_2 guarantee_3
5 TAKEOVER_UNCHECKED guarantee_1 guarantee_2
6 RELEASE_UNCHECKED guarantee_2 guarantee_3
7 ABSENT_IS_NEW guarantee_1
8 RENEWAL_UNCHECKED guarantee_2 guarantee_3
9 LEASE_IGNORED guarantee_1
10 MINE_IGNORED guarantee_5
11 MINE_FIRST guarantee_1 guarantee_2
12 OTHERS_ADOPTED guarantee_2 guarantee_3
13 COMPLETED_ADOPTED guarantee_2 guarantee_3
14 NOTHING_ADOPTED guarantee_2 guarantee_5
15 RELEASE_GIVES_UP table
16 OWN_REPLY_LOST guarantee_5
17 ANYBODYS_COMPLETE guarantee_2 guarantee_3
18 ENDED_REPLACED guarantee_2 guarantee_3
19 ENDED_REMOVED guarantee_2
20 DOUBT_FORGOTTEN guarantee_6
21 CHECKPOINT_DROPPED guarantee_4
22 TAKEOVER_AGAIN harmless
23 ENDED_REMEMBERED harmless
24 FORGETFUL_CLAIM harmless
26 LEASE_KEPT table
27 REINSERT_UNCHECKED guarantee_2 guarantee_3
28 ENDED_REINSTATED ended_stays
29 REINSERT_FORGETS guarantee_4
30 LATE_REINSERT ended_stays
31 SETTLE_UNCHECKED guarantee_2 guarantee_3
32 FORGET_UNCHECKED guarantee_2 guarantee_3
END
}

build exact -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DFRESH=1
build exact_late -DCALLERS=2 -DLATE=1 -DDETAIL=1 -DFRESH=1
build plain -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DFRESH=1 -DPLAIN
build late -DCALLERS=3 -DLATE=1
build numbers -DCALLERS=2 -DLATE=0 -DPLAIN
build shared -DCALLERS=3 -DLATE=0 -DSHARED=2
build reinstating -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DREINSTATE=1
build reinstating_late -DCALLERS=2 -DLATE=1 -DREINSTATE=1
build operators -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DOPERATOR=1
whole exact "2 callers, fresh tokens, errors told"
whole exact_late "2 callers, 1 late request, fresh tokens, errors told"
whole late "3 callers, 1 late request"
whole shared "3 callers, 2 of them with one token"
whole numbers "2 callers, versions as plain numbers"
whole reinstating "2 callers that put back what the store has lost"
whole reinstating_late "2 callers that put back what the store has lost, 1 late request"
whole operators "2 callers, an operator who settles and forgets what has expired"
mutants
# That calls end is a question of cycles.
search=
cycles=-a
build progress -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DPROGRESS
whole progress "2 callers: where nothing is lost any more, calls end"
mutant 25 ADOPTED_IN_NAME progress progress
if [ "$length" = long ]; then
  search=-DSAFETY
  cycles=
  depth=20000000
  build four -DCALLERS=4 -DLATE=0
  build late_two -DCALLERS=3 -DLATE=2
  build late_shared -DCALLERS=3 -DLATE=1 -DSHARED=2
  whole four "4 callers"
  whole late_two "3 callers, 2 late requests"
  whole late_shared "3 callers, 2 of them with one token, 1 late request"
fi
exit "$failed"
