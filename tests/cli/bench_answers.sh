# SPDX-License-Identifier: MIT
# shellcheck shell=sh

# What the tests of `idem bench` share besides helper.sh: its answers, read and checked; and what is
# in the store. $lock_db is the helper program that locks one.
# shellcheck disable=SC2154

# with_answer PROGRAM [-v NAME=VALUE…]: runs a function `judge()` of awk on the answer in the file
# out, whose numbers are variables.
with_answer() {
    program=$1
    shift
    awk "$@" '
    function number(name,  at) {
        at = match($0, "\"" name "\":[0-9.]+")
        return at ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : -1
    }
    function sum_by_code(  text, parts, n, i, sum, pair) {
        text = $0
        sub(/.*"errors_by_code":\{/, "", text)
        sub(/\}.*/, "", text)
        n = split(text, parts, ",")
        for (i = 1; i <= n; i++) {
            split(parts[i], pair, ":")
            sum += pair[2]
        }
        return sum + 0
    }
    {
        ops = number("ops"); seconds = number("seconds"); ops_per_s = number("ops_per_s")
        p50 = number("p50_us"); p99 = number("p99_us"); p999 = number("p999_us")
        max = number("max_us"); errors = number("errors")
        interrupted = /"interrupted":true/
        if (!judge()) exit 1
    }
    '"$program" "$dir/out"
}

# holds EXPRESSION: about the answer, such as `ops == 5 && errors == 0`.
holds() {
    with_answer "function judge() { return $1 }" || fail "this is not so: $1"
}

# answered MODE THREADS BATCH: out is one answer with --json whose members agree with each other: the
# seconds are rounded to a thousandth and the quotient to one, and what failed is counted by its code
# and in all.
answered() {
    with_answer '
    function judge(  digits) {
        digits = "[0-9]+\\.[0-9]+"
        return NR == 1 && $0 ~ "^\\{\"mode\":\"" mode "\",\"threads\":" threads ",\"ops\":[0-9]+,\"seconds\":" digits \
            ",\"ops_per_s\":[0-9]+,\"p50_us\":" digits ",\"p99_us\":" digits ",\"p999_us\":" digits \
            ",\"max_us\":" digits ",\"batch\":" batch ",\"errors\":[0-9]+,\"errors_by_code\":\\{[^}]*\\}," \
            "\"interrupted\":(true|false)\\}$" &&
            p50 <= p99 && p99 <= p999 && p999 <= max && (max > 0) == (ops > 0) &&
            ops_per_s * (seconds - 0.0006) <= ops + seconds &&
            ops_per_s * (seconds + 0.0006) >= ops - seconds &&
            (max <= (seconds + 0.001) * 1e6 || ops == 0) && sum_by_code() == errors
    }' -v mode="$1" -v threads="$2" -v batch="$3" || fail "these members don't agree"
}

# without_errors OPS: so many ops, none that failed, and nothing to say.
without_errors() {
    holds "ops == $1 && errors == 0 && !interrupted"
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

# ----------------------------------------------------------------------------------- the records

# records COUNT [OPTIONS…]: so many are in the store; they are in the file records.
records() {
    count=$1
    shift
    "$idem" ls "$@" >records 2>&1 || fail 'the records cannot be listed'
    lines_are "$count" records
}

# some_key: one that a run has made, in $key. some_records: there are several.
some_key() {
    key=$("$idem" ls --prefix idem-bench: --limit 1 | sed 's/.*"key":"\([^"]*\)".*/\1/')
    [ -n "$key" ]
}
some_records() {
    [ "$("$idem" ls --prefix idem-bench: --limit 5 | grep -c '')" -eq 5 ]
}

# expire_in EXPRESSION: this is true of $1, the milliseconds until each of the records expires.
expire_in() {
    sed 's/.*"expires_in_ms":\([0-9]*\).*/\1/' records | awk "!($1) { exit 1 }" ||
        fail 'they expire at another time'
}

empty_the_store() {
    rm -f "$dir/store.db" "$dir/store.db-wal" "$dir/store.db-shm"
}

# lock_store: takes the write lock of the store for good; unlock_store gives it back.
lock_store() {
    rm -f lock
    "$lock_db" "$dir/store.db" "${1:-100}" >lock 2>&1 &
    locker=$!
    background="$background $locker"
    eventually grep -qx locked lock
}
unlock_store() {
    kill "$locker"
    wait "$locker" 2>/dev/null || :
}
