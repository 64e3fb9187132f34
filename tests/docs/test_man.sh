#!/bin/sh
# SPDX-License-Identifier: MIT
# The man pages and what they are about, both ways round: commands and options of `idem` and
# idem(1), public calls and error codes and libidem(3), idem_async(3), idem_testkit(3). $1: idem.
. "$(dirname "$0")/helper.sh"
idem=$1
page=$root/docs/man/idem.1
library=$root/docs/man/libidem.3

# section NAME: what the page says of a command.
section() {
    awk -v name="$1" '/^\.S[sh]/ { on = $1 == ".Ss" && $2 == name; next } on' "$page"
}

same_words() {
    cmp -s "$2" "$3" || {
        diff "$2" "$3"
        fail "$1: < is what the page has, > what there is"
    }
}

# ------------------------------------------------------------------------------------ idem(1)

expect 0 "$idem" help
sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' out | sort >known
[ "$(grep -c '' known)" -ge 14 ] || fail "the list of commands has another form"
sed -n '/^\.Sh COMMANDS/,/^\.Sh ENV/s/^\.Ss \([a-z]*\).*/\1/p' "$page" | sort >documented
same_words "commands" documented known

options=0
while read -r command; do
    expect 0 "$idem" "$command" --help
    sed -n 's/^  --\([a-z-]*\).*/\1/p' out | grep -vx -e help -e store -e store-file | sort >known_options
    section "$command" | sed -n 's/^\.It Fl -\([a-z-]*\).*/\1/p' | sort >documented_options
    same_words "options of $command" documented_options known_options
    options=$((options + $(grep -c '' known_options)))
done <known
[ "$options" -ge 20 ] || fail "the lists of options have another form"
for option in store store-file help version; do
    sed -n '/^\.Sh OPTIONS/,/^\.Sh COMMANDS/p' "$page" | grep -q "^\.It Fl -$option" ||
        fail "idem(1) does not have --$option"
done
sed -n 's/^ *CLI_[A-Z_]* = \([0-9]*\),.*/\1/p' "$root/cli/report.h" | grep -vx 128 | sort >known
sed -n '/^\.Sh EXIT STATUS/,/^\.Sh EXAMPLES/s/^\.It \([0-9]*\)$/\1/p' "$page" |
    grep -vx 1 | sort >documented # 1 is doctor's
[ -s known ] || fail "the list of exit codes has another form"
same_words "exit codes" documented known

# --------------------------------------------------------------------------------- libidem(3)

# Calls, on one line each, without comments.
sed -e '/^ *#/d' -e 's|/\*.*\*/||' "$root/include/idem/idem.h" |
    sed -nE -e '/^(IDEM_API|IDEM__INLINE)/,/[;{]/s/.*[ *](idem_[a-z0-9_]+)\(.*/\1/p' |
    grep -v '^idem__' | sort -u >known
[ "$(grep -c '' known)" -ge 30 ] || fail "the header has another form"
sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \(idem_[a-z0-9_]*\).*/\1/p' "$library" |
    sort >documented
same_words "calls" documented known
sed -n '/^\.Sh DESCRIPTION/,$s/^\.Fn \(idem_[a-z0-9_]*\).*/\1/p' "$library" | sort -u >documented
same_words "calls that are described" documented known

sed -n '/define IDEM_ERROR_MAP/,/[^\\]$/s/^    X(\([A-Z_]*\), .*/IDEM_ERR_\1/p' "$root/include/idem/idem.h" | sort >known
[ -s known ] || fail "the list of errors has another form"
sed -n '/^\.Sh RETURN/,/^\.Sh EXAMPLES/s/^\.It Dv \(IDEM_ERR_[A-Z_]*\)$/\1/p' "$library" |
    sort >documented
same_words "errors" documented known

# ------------------------------------------------------------------------------- idem_async(3)

async=$root/docs/man/idem_async.3
sed -nE '/^IDEM_API/,/;/s/.*[ *](idem_async_[a-z0-9_]+)\(.*/\1/p' "$root/include/idem/async.h" |
    sort -u >known
[ "$(grep -c '' known)" -ge 10 ] || fail "async.h has another form"
sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \(idem_async_[a-z0-9_]*\).*/\1/p' "$async" |
    sort >documented
same_words "calls of async.h" documented known
sed -n '/^\.Sh DESCRIPTION/,$s/^\.Fn \(idem_async_[a-z0-9_]*\).*/\1/p' "$async" |
    sort -u >documented
same_words "calls of async.h that are described" documented known

# ----------------------------------------------------------------------------- idem_testkit(3)

kit=$root/docs/man/idem_testkit.3
sed -nE '/^IDEM_API/,/;/s/.*[ *](idem_testkit_[a-z0-9_]+)\(.*/\1/p' "$root/include/idem/testkit.h" | sort -u >known
[ "$(grep -c '' known)" -ge 10 ] || fail "testkit.h has another form"
sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \(idem_testkit_[a-z0-9_]*\).*/\1/p' "$kit" | sort >documented
same_words "calls of testkit.h" documented known
sed -n '/^\.Sh DESCRIPTION/,$s/^\.Fn \(idem_testkit_[a-z0-9_]*\).*/\1/p' "$kit" | sort -u >documented
same_words "calls of testkit.h that are described" documented known

# -------------------------------------------------------------------------------------- form

for tool in mandoc groff; do
    command -v "$tool" >/dev/null 2>&1 || continue
    for file in "$page" "$library" "$async" "$kit"; do
        if [ "$tool" = mandoc ]; then
            mandoc -Tlint -Wwarning "$file" >out 2>err
        else
            groff -mdoc -Tutf8 -ww -z "$file" >out 2>err
        fi
        [ ! -s out ] && [ ! -s err ] || fail "$tool finds fault with $file"
    done
done
