/* SPDX-License-Identifier: MIT */
/* A program outside the tree: opens every store it is given, claims, completes, replays. */
#include <idem/backend.h>
#include <idem/idem.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *url, const idem_error *error)
{
    fprintf(stderr, "%s: %s\n", url, error->message);
    return 1;
}

static int use(const char *url)
{
    idem_error error = {0};
    idem_store *store = NULL;
    if (idem_open(url, &store, &error))
        return fail(url, &error);
    for (int i = 0; i < 2; i++) {
        idem_outcome out;
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &error))
            return fail(url, &error);
        if (out.kind != (i ? IDEM_COMPLETED : IDEM_NEW))
            return fail(url, &error);
        if (out.kind == IDEM_NEW && idem_complete(store, out.claim, idem_str("1.0"), &error))
            return fail(url, &error);
        if (out.kind == IDEM_COMPLETED && memcmp(out.response.data, "1.0", 3) != 0)
            return fail(url, &error);
        idem_outcome_clear(&out);
    }
    idem_close(store);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= use(argv[i]);
    printf("%s %s\n", idem_version(), idem_backend_at(0)->scheme);
    return failed;
}
