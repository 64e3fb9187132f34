# SPDX-License-Identifier: MIT
# shellcheck shell=sh

# What the tests of the command share. A test begins with
#     . "$(dirname "$0")/helper.sh"
# and is called with the path of the built `idem`, and of a helper program if it needs one. It has
# a folder of its own, $dir, and a store of its own. The first thing that is wrong ends it.
# shellcheck disable=SC2034,SC3043

set -u
export LC_ALL=C
idem=$1
helper=${2:-}
unset IDEM_STORE IDEM_TOKEN IDEM_KEY IDEM_ATTEMPT IDEM_CHECKPOINT XDG_STATE_HOME
umask 022
dir=$(mktemp -d)
# Processes that a test starts and that are still there at its end are ended by their numbers.
background=
clean_up() {
    for pid in $background; do
        kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
export HOME="$dir/home"
export IDEM_STORE="sqlite://$dir/store.db"
scene=

# scene TEXT: names what is tested next, for the message if it fails, and for the log if it hangs.
scene() {
    scene=$1
    echo "$(date +%T) $scene"
}

fail() {
    echo "FAILED: $scene: $*"
    for file in out err; do
        echo "--- $file"
        [ ! -f "$dir/$file" ] || head -c 2000 "$dir/$file"
    done
    exit 1
}

# expect CODE ARGUMENTS…: runs idem, with its output in the files out and err.
expect() {
    want=$1
    shift
    "$idem" "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    [ "$got" -eq "$want" ] || fail "'idem $*' ended with $got, not with $want"
}

# start ARGUMENTS…: the same in the background; its number is in $started.
start() {
    "$idem" "$@" >"$dir/started.out" 2>"$dir/started.err" &
    started=$!
    background="$background $started"
}

# ended CODE: waits for what was started, and has its output in out and err.
ended() {
    wait "$started"
    got=$?
    mv "$dir/started.out" "$dir/out"
    mv "$dir/started.err" "$dir/err"
    [ "$got" -eq "$1" ] || fail "it ended with $got, not with $1"
}

# What is in out and err: exactly this line; this text somewhere; nothing like it; nothing at all.
out_is() {
    printf '%s\n' "$1" | cmp -s - "$dir/out" || fail "stdout is not: $1"
}
out_has() {
    grep -qF -e "$1" "$dir/out" || fail "stdout does not have: $1"
}
out_matches() {
    grep -qE -e "$1" "$dir/out" || fail "stdout does not match: $1"
}
out_lacks() {
    ! grep -qF -e "$1" "$dir/out" || fail "stdout has: $1"
}
out_is_empty() {
    [ ! -s "$dir/out" ] || fail "stdout is not empty"
}
err_has() {
    grep -qF -e "$1" "$dir/err" || fail "stderr does not have: $1"
}
err_lacks() {
    ! grep -qF -e "$1" "$dir/err" || fail "stderr has: $1"
}
err_is_empty() {
    [ ! -s "$dir/err" ] || fail "stderr is not empty"
}

# same FILE FILE: both hold the same bytes.
same() {
    cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

# lines_are COUNT FILE
lines_are() {
    [ "$(grep -c '' "$2")" -eq "$1" ] || fail "$2 has not $1 lines but $(grep -c '' "$2")"
}

# eventually COMMAND…: waits until the command succeeds; for 30 s at least, since others may load the
# machine and nothing that is right ever waits so long.
eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || fail "it never came to: $*"
        sleep 0.05
    done
}

# renewed TIMES KEY: waits until the claim on a key was renewed so often. Renewals are a third of a
# lease apart, so that after three of them the first lease is over, and the last one is new.
updated_at() {
    "$idem" get "$1" | sed -n 's/.*"updated_at":"\([^"]*\)".*/\1/p'
}
is_there() {
    "$idem" get "$1" >/dev/null 2>&1
}
is_renewed() {
    now=$(updated_at "$1")
    [ -n "$now" ] && [ "$now" != "$last" ]
}
renewed() {
    eventually is_there "$2"
    last=$(updated_at "$2")
    times=0
    while [ "$times" -lt "$1" ]; do
        eventually is_renewed "$2"
        last=$now
        times=$((times + 1))
    done
}

# take KEY: has it begun by somebody else, though its owner would put back a record that is missing.
take() {
    eventually sh -c '"$0" forget "$1" >/dev/null && "$0" begin "$1" >/dev/null' "$idem" "$1"
}

# claim KEY OPTIONS…: begins a new key; its token is in $token.
claim() {
    expect 0 begin "$@"
    token=$(sed -n '1s/.*"token":"\([0-9a-f]*\)".*/\1/p' "$dir/out")
    [ ${#token} -eq 32 ] || fail "the token '$token' has not 32 digits"
}

# make_store OPTIONS…: makes the store, without a record in it. Commands that only look make none.
make_store() {
    expect 0 release nobody --token 0123456789abcdef0123456789abcdef "$@"
}
