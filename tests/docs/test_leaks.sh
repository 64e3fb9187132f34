#!/bin/sh
# SPDX-License-Identifier: MIT
# What people copy first, the examples in idem/idem.h and libidem(3), frees what it holds when a complete
# fails, and when all goes well. test_leaks.sh CC LIBRARY…
. "$(dirname "$0")/helper.sh"
compiler=$1
shift

cat >head.c <<'END'
#include <idem/idem.h>
#include <stdio.h>
static idem_store *store;
static bool fails; /* then the record is gone when the work is done */
static void charge(void)
{
    if (fails)
        (void)idem_forget(store, idem_str("charge-42"), NULL);
}
static int example(void)
{
END
cat >tail.c <<'END'
}
static int run(bool with_failure)
{
    fails = with_failure;
    if (idem_open("memory://", &store, NULL))
        return -1;
    int rc = example();
    idem_close(store);
    return rc;
}
int main(void)
{
    return run(true) == IDEM_ERR_NOT_FOUND && run(false) == IDEM_OK ? 0 : 1;
}
END

# The first example of the header, with the error that its caller has.
header() {
    echo 'idem_error error;'
    sed -n '/@code/,/@endcode/{ /@/d; s/^ \*//; p; }' "$root/include/idem/idem.h" |
        sed '/return rc;/q'
}

manual() {
    sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' "$root/docs/man/libidem.3" | sed -e '/^\./d' -e 's/\\e/\\/g'
    echo 'return rc;'
}

for text in header manual; do
    { cat head.c && "$text" && cat tail.c; } >"$text.c"
    grep -q 'idem_complete(' "$text.c" || fail "there is no example in the $text"
    expect 0 "$compiler" -std=c11 -Wall -Wextra -Werror -g -fsanitize=address -D_POSIX_C_SOURCE=200809L \
        -I"$root/include" "$text.c" -o "$text" "$@"
    ASAN_OPTIONS=detect_leaks=1 expect 0 "./$text"
done
