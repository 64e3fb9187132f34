/* SPDX-License-Identifier: MIT */
/*
 * A program with a backend of its own: it makes the backend known, and from then on `dir:` URLs
 * are stores like any other. Run it twice: the second run replays what the first has done.
 *
 *     custom_backend [URL [KEY]]
 */
#include "custom_backend.h"

#include <stdio.h>

static int fail(const idem_error *error)
{
    (void)fprintf(stderr, "custom_backend: %s\n", error->message);
    return 1;
}

static int greet_once(idem_store *store, const char *key, idem_error *error)
{
    idem_outcome out;
    idem_bytes response = idem_str("{\"greeted\":true}");
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .wait_ms = 1000), &out, error);
    if (rc)
        return rc;
    switch (out.kind) {
    case IDEM_NEW:
        (void)printf("hello, %s\n", key);
        rc = idem_complete(store, out.claim, response, error);
        break;
    case IDEM_COMPLETED:
        (void)printf("done before: %.*s\n", (int)out.response.len, (const char *)out.response.data);
        break;
    case IDEM_IN_PROGRESS:
        (void)printf("another process is at it; %llu ms are left\n",
                     (unsigned long long)out.retry_after_ms);
        break;
    case IDEM_MISMATCH:
    case IDEM_IN_DOUBT:
        break; /* for requests with a fingerprint or IDEM_NO_TAKEOVER only */
    }
    idem_outcome_clear(&out);
    return rc;
}

int main(int argc, char **argv)
{
    idem_error error;
    idem_store *store;
    const char *url = argc > 1 ? argv[1] : "dir:idem-records?ttl=1h";
    const char *key = argc > 2 ? argv[2] : "world";
    if (custom_backend_register(&error) || idem_open(url, &store, &error))
        return fail(&error);
    int rc = greet_once(store, key, &error);
    idem_close(store);
    return rc ? fail(&error) : 0;
}
