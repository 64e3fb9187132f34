# SPDX-License-Identifier: MIT
# shellcheck shell=sh

# What the tests of `idem bench` share besides helper.sh: its answers, read and checked.

# member NAME: the number of that name in the answer in the file out.
member() {
    sed -n 's/.*"'"$1"'":\([0-9.]*\)[,}].*/\1/p' "$dir/out"
}

# holds EXPRESSION: of numbers, as awk has them.
holds() {
    awk "BEGIN { exit !($1) }" || fail "this is not so: $1"
}

# answered MODE THREADS BATCH: out is one answer with --json whose members agree with each other.
answered() {
    number='[0-9]+(\.[0-9]+)?'
    lines_are 1 out
    out_matches "^\\{\"mode\":\"$1\",\"threads\":$2,\"ops\":[0-9]+,\"seconds\":$number,\"ops_per_s\":$number,\"p50_us\":$number,\"p99_us\":$number,\"p999_us\":$number,\"max_us\":$number,\"batch\":$3,\"errors\":[0-9]+,\"errors_by_code\":\\{(\"[A-Z_]+\":[0-9]+,?)*\\},\"interrupted\":(true|false)\\}\$"
    cp out answer
    holds "$(member p50_us) <= $(member p99_us) && $(member p99_us) <= $(member p999_us)"
    holds "$(member p999_us) <= $(member max_us)"
    holds "($(member max_us) > 0) == ($(member ops) > 0)"
    # the seconds are rounded to a thousandth, the quotient to one
    holds "$(member ops_per_s) * ($(member seconds) - 0.0006) <= $(member ops) + $(member seconds)"
    holds "$(member ops_per_s) * ($(member seconds) + 0.0006) >= $(member ops) - $(member seconds)"
    holds "$(member max_us) <= ($(member seconds) + 0.01) * 1e6 || $(member ops) == 0"
    # what failed is counted once by its code, and once in all
    sum=$(sed 's/.*"errors_by_code":{\([^}]*\)}.*/\1/' out | tr ',' '\n' | awk -F: '{ sum += $2 } END { print sum + 0 }')
    [ "$sum" -eq "$(member errors)" ] || fail "there are $sum errors by code and $(member errors) in all"
}

# without_errors OPS: so many ops, and none that failed.
without_errors() {
    [ "$(member ops)" -eq "$1" ] || fail "there were $(member ops) ops, not $1"
    [ "$(member errors)" -eq 0 ] || fail 'there were errors'
    out_has '"errors_by_code":{}'
    out_has '"interrupted":false'
    err_is_empty
}

# all_modes URL OPS: every mode with one thread and several, one by one and in batches.
all_modes() {
    for mode in cycle claim replay; do
        for threads in 1 3; do
            for batch in 1 7; do
                scene "$mode, $threads threads, batches of $batch, on ${1%%:*}"
                expect 0 --store "$1" bench --mode "$mode" --threads "$threads" --batch "$batch" \
                    --ops "$2" --keys 9 --json
                answered "$mode" "$threads" "$batch"
                without_errors "$2"
            done
        done
    done
}
