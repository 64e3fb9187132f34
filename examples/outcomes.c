/* SPDX-License-Identifier: MIT */
/* A charge that happens once, whatever a begin says: outcomes URL KEY CENTS. Prints what an HTTP
   service would answer. */
#include <idem/idem.h>
#include <inttypes.h>
#include <stdio.h>

static int charge(idem_store *store, const char *key, const char *cents, idem_error *error)
{
    uint8_t hash[32];
    idem_outcome out = {0};
    idem_bytes content = idem_str(cents); /* all that makes one request differ from another */
    idem_bytes response = idem_str("{\"charged\":true}");
    int rc = idem_fingerprint(&content, 1, hash, error);
    if (rc == IDEM_OK)
        rc = idem_begin(store,
                        IDEM_REQUEST(.key = idem_str(key), .fingerprint = {hash, sizeof hash},
                                     .flags = IDEM_NO_TAKEOVER),
                        &out, error);
    if (rc)
        return rc;
    switch (out.kind) {
    case IDEM_NEW:
        (void)fprintf(stderr, "charging %s cents\n", cents); /* the work; it happens once */
        rc = idem_complete(store, out.claim, response, error);
        if (rc == IDEM_OK)
            (void)printf("200 %s\n", (const char *)response.data);
        break;
    case IDEM_COMPLETED:
        (void)printf("200 %.*s\n", (int)out.response.len, (const char *)out.response.data);
        break;
    case IDEM_IN_PROGRESS:
        (void)printf("409 Retry-After: %" PRIu64 "\n", out.retry_after_ms / 1000 + 1);
        break;
    case IDEM_MISMATCH:
        (void)puts("422 this key was used for another amount");
        break;
    case IDEM_IN_DOUBT: /* because of IDEM_NO_TAKEOVER; without it this would be a New */
        (void)printf("503 attempt %" PRIu32 " stopped in the middle; look whether it charged\n",
                     out.attempt);
        break;
    }
    idem_outcome_clear(&out);
    return rc;
}

int main(int argc, char **argv)
{
    idem_error error;
    idem_store *store = NULL;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: outcomes URL KEY CENTS\n");
        return 64;
    }
    int rc = idem_open(argv[1], &store, &error);
    if (rc == IDEM_OK)
        rc = charge(store, argv[2], argv[3], &error);
    if (rc)
        (void)fprintf(stderr, "outcomes: %s\n", error.message);
    idem_close(store);
    return rc ? 1 : 0;
}
