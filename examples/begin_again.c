/* SPDX-License-Identifier: MIT */
/*
 * A begin and a complete whose replies may be lost beyond the library's own repeats: begin_again
 * URL KEY.
 *
 * IDEM_ERR_UNCERTAIN from a begin means that a claim may have been made. A begin with a fresh token
 * would meet that claim as another caller's, in progress until its lease ends. The token of the
 * first try makes it the same caller, and the outcome is IDEM_NEW: so the token is made before
 * anything is sent.
 */
#include <idem/idem.h>
#include <stdio.h>

#define TRIES 5 /* each lasts up to the store's timeout */

/* After an uncertain try the next one may not reach the store: the claim may be there all the
   same. */
static bool may_succeed_later(int rc)
{
    return rc == IDEM_ERR_UNCERTAIN || rc == IDEM_ERR_UNAVAILABLE;
}

static int begin_again(idem_store *store, const char *key, idem_outcome *out, idem_error *error)
{
    uint8_t token[IDEM_TOKEN_SIZE];
    int rc = idem_token_make(token, error);
    if (rc)
        return rc;
    rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .token = token), out, error);
    for (int tries = 1; may_succeed_later(rc) && tries < TRIES; tries++)
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .token = token), out, error);
    return rc;
}

/* The claim knows its token: to complete again is safe as it is. */
static int complete_again(idem_store *store, idem_claim *claim, idem_bytes response,
                          idem_error *error)
{
    int rc = idem_complete(store, claim, response, error);
    for (int tries = 1; may_succeed_later(rc) && tries < TRIES; tries++)
        rc = idem_complete(store, claim, response, error);
    return rc;
}

static int charge_once(idem_store *store, const char *key, idem_error *error)
{
    idem_outcome out = {0};
    int rc = begin_again(store, key, &out, error);
    if (rc == IDEM_OK && out.kind == IDEM_NEW) {
        (void)puts("charged"); /* the work; it happens once */
        rc = complete_again(store, out.claim, idem_str("{\"charged\":true}"), error);
    } else if (rc == IDEM_OK && out.kind == IDEM_COMPLETED) {
        (void)printf("replayed %.*s\n", (int)out.response.len, (const char *)out.response.data);
    } else if (rc == IDEM_OK) {
        (void)puts("somebody else is at it; try again later");
    }
    idem_outcome_clear(&out);
    return rc;
}

int main(int argc, char **argv)
{
    idem_error error;
    idem_store *store = NULL;
    int rc = idem_open(argc > 1 ? argv[1] : "memory://", &store, &error);
    if (rc == IDEM_OK)
        rc = charge_once(store, argc > 2 ? argv[2] : "charge-42", &error);
    if (rc)
        (void)fprintf(stderr, "begin_again: %s\n", error.message);
    idem_close(store);
    return rc ? 1 : 0;
}
