#!/bin/bash
# SPDX-License-Identifier: MIT
# cli/completion/idem.bash, as bash calls it: the words of a command line go in, what could stand in
# place of the last one comes out. $1: idem.
set -u
idem=$1
failed=0
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=../../cli/completion/idem.bash
source "$here/../../cli/completion/idem.bash"

# completes "TYPED" WORD…: the last word of the line `idem TYPED` can become these, and nothing else.
# bash cuts a line into words at `:` and `=` too.
completes() {
    local typed=$1 want got cut rest
    shift
    COMP_LINE="$idem $typed"
    COMP_POINT=${#COMP_LINE}
    cut=$(sed 's/[:=]\{1,\}/ & /g' <<<"$typed.")
    read -ra rest <<<"${cut%.}"
    COMP_WORDS=("$idem" "${rest[@]}")
    [[ -n $typed && $typed != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _idem
    want=$(printf '%s\n' "$@" | sort)
    got=$(printf '%s\n' "${COMPREPLY[@]}" | sort)
    if [[ $want != "$got" ]]; then
        printf 'FAILED: idem %s\nexpected:\n%s\ngot:\n%s\n' "$typed" "$want" "$got"
        failed=1
    fi
}

# What idem itself lists, without this script's or the completion's way of reading it.
mapfile -t commands < <("$idem" help | awk '/^commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')
mapfile -t run_options < <("$idem" run --help | grep -oE '^  --[a-z-]+' | tr -d ' ')
[[ ${#commands[@]} -ge 13 && ${#run_options[@]} -ge 8 ]] || {
    echo "FAILED: idem's help has another form"
    exit 1
}

# Once more by a path with a blank in it.
blank=$(mktemp -d)
trap 'rm -rf -- "$blank"' EXIT
mkdir "$blank/a b"
ln -s "$(realpath -- "$idem")" "$blank/a b/idem"
as_built=$idem
idem="$blank/a b/idem"
completes "ru" run
completes "run KEY --" "${run_options[@]}"
completes "bench --mode=re" replay
completes "ls --store mem" memory:
idem=$as_built

completes "" "${commands[@]}"
completes "help " "${commands[@]}"
completes "ru" run
completes "re" renew release
completes "nosuch" ""
completes "--" --store --store-file --help --version
completes "--store-file url comp" complete
completes "--store-file $here/test_comp" "$here/test_completion.sh"
completes "--store sqlite:x.db?ttl=72h comp" complete
completes "--store sqlite::memory: forg" forget
completes "--store=memory:// pur" purge
completes "run KEY --" "${run_options[@]}"
completes "run KEY --keep" --keep-failures
completes "complete KEY --to" --token
completes "settle KEY --exit 0 --stdout $here/test_comp" "$here/test_completion.sh"
completes "forget KEY --f" --force
completes "ls --status " in_progress completed corrupt
completes "ls --status cor" corrupt
completes "ls --status c" completed corrupt
completes "ls --status=" in_progress completed corrupt
completes "ls --status=in" in_progress
completes "ls --store mem" memory:
completes "bench --mode " cycle claim replay
completes "bench --mode=re" replay
completes "bench --th" --threads
completes "get KE" ""
completes "run KEY -- unali" unalias
completes "run KEY -- ls $here/test_comp" "$here/test_completion.sh"
exit "$failed"
