# SPDX-License-Identifier: MIT
# shellcheck shell=sh

# What the tests of examples and documents share. A test begins with
#     . "$(dirname "$0")/helper.sh"
# It then stands in a folder of its own, $dir, with no store in its environment. The first thing
# that is wrong ends it.
# shellcheck disable=SC2034

set -u
export LC_ALL=C
root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
export HOME="$dir/home"
unset IDEM_STORE IDEM_TOKEN IDEM_KEY IDEM_ATTEMPT IDEM_CHECKPOINT XDG_STATE_HOME

fail() {
    echo "FAILED: $*"
    for file in out err; do
        [ ! -s "$dir/$file" ] || sed "s/^/$file: /" "$dir/$file"
    done
    exit 1
}

# expect CODE COMMAND…: runs it, with its output in the files out and err.
expect() {
    want=$1
    shift
    "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    [ "$got" -eq "$want" ] || fail "'$*' ended with $got, not with $want"
}

# prints TEXT: what the last command wrote to stdout is this, and nothing else.
prints() {
    printf '%s\n' "$1" | cmp -s - "$dir/out" || fail "stdout is not: $1"
}

# says TEXT; says_not TEXT: the same command's stderr has it somewhere; nowhere.
says() {
    grep -qF -e "$1" "$dir/err" || fail "stderr does not have: $1"
}
says_not() {
    ! grep -qF -e "$1" "$dir/err" || fail "stderr has: $1"
}
