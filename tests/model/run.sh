#!/bin/sh
# SPDX-License-Identifier: MIT
# Checks the model of the protocol: the whole state space of each configuration without a mistake, and then
# each mutant, which has to fail at the guarantee that it breaks.  run.sh FOLDER [long]
set -eu

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
work=$1
length=${2:-proof}
depth=3000000
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
  cc -O1 -w -DSAFETY -DNOREDUCE -o pan pan.c
}

figure() {
  sed -n "s/^ *\\([0-9][0-9.e+]*\\) $1.*/\\1/p" "$2" | head -n 1
}

# whole NAME WHAT: the model as it is, searched to the end.
whole() {
  log=$work/$1/whole.log
  cd -- "$work/$1"
  began=$(date +%s)
  MUTANT=0 ./pan -m"$depth" >"$log" 2>&1 || true
  if ! grep -q 'errors: 0$' "$log" || grep -Eqi 'too small|not completed|warning|out of memory|truncated' "$log"; then
    cat "$log"
    echo "FAILED: $1"
    failed=1
    return
  fi
  echo "$1 ($2): $(figure 'states, stored' "$log") states, $(figure 'transitions' "$log") transitions," \
    "depth $(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' "$log"), $(($(date +%s) - began)) s: ok"
}

# mutant NUMBER NAME EXPECTED CONFIGURATIONS: EXPECTED is the guarantee whose assertion fails, or "harmless",
# for which all the given configurations have to be searched to the end.
mutant() {
  verdict=
  for configuration in $4; do
    log=$work/$configuration/mutant-$1.log
    cd -- "$work/$configuration"
    MUTANT=$1 ./pan -m"$depth" >"$log" 2>&1 || true
    # A mutant may break several: the first to be found is told.
    verdict=$(sed -n 's/^pan:1: assertion violated .*||\([a-z_0-9]*\)) (at depth \([0-9]*\))$/\1 \2/p' "$log")
    if [ -n "$verdict" ]; then
      break
    fi
    grep -q 'errors: 0$' "$log" && ! grep -Eqi 'too small|warning' "$log" || verdict="unknown 0"
  done
  broken=${verdict% *}
  case " $3 " in
  *" ${broken:-harmless} "*) echo "mutant $2: ${broken:-harmless}${broken:+, ${verdict#* } steps, $configuration}" ;;
  *)
    echo "FAILED: mutant $2: ${broken:-passes}, expected: $3"
    failed=1
    ;;
  esac
}

# The mutants, in the order of their numbers, stand in the model; here is what each breaks.
mutants() {
  while read -r number name expected; do
    defined=$(sed -n "s/^#define $name \\([0-9]*\\) .*/\\1/p" "$here/protocol.pml")
    if [ "$defined" != "$number" ]; then
      echo "FAILED: $name is not mutant $number in the model"
      failed=1
    fi
    case $expected in
    harmless) mutant "$number" "$name" harmless "exact late" ;;
    *) mutant "$number" "$name" "$expected" "plain exact late" ;;
    esac
  done <<'END'
1 REUSED_VERSION guarantee_1
2 RENEWAL_KEEPS guarantee_1
3 VERSION_RESTARTS guarantee_1
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
14 NOTHING_ADOPTED guarantee_5 table
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
END
}

build exact -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DFRESH=1
build late -DCALLERS=3 -DLATE=1
build plain -DCALLERS=2 -DLATE=0 -DDETAIL=1 -DFRESH=1 -DPLAIN
build shared -DCALLERS=3 -DLATE=0 -DSHARED=2
whole exact "2 callers, fresh tokens, errors told"
whole late "3 callers, 1 late request"
whole shared "3 callers, 2 of them with one token"
mutants
if [ "$length" = long ]; then
  build exact_late -DCALLERS=2 -DLATE=1 -DDETAIL=1 -DFRESH=1
  build four -DCALLERS=4 -DLATE=0
  depth=20000000
  whole exact_late "2 callers, 1 late request, fresh tokens, errors told"
  whole four "4 callers"
fi
exit "$failed"
