/* SPDX-License-Identifier: MIT */
/*
 * Stores with a fault, made out of the right one: what the checker has to find. They go round the
 * library's guards with its own public calls, so that everything else is as it is in a run.
 */
#include "broken.h"

static int complete_rightly(idem_store *store, const idem_request *as, idem_claim *claim,
                            idem_bytes response, idem_error *error)
{
    (void)as;
    return idem_complete(store, claim, response, error);
}

static int release_rightly(idem_store *store, const idem_request *as, idem_claim *claim,
                           idem_error *error)
{
    (void)as;
    return idem_release(store, claim, error);
}

/* A takeover that checks nothing: a live claim is taken for one that was left. */
static int begin_by_force(idem_store *store, const idem_request *as, idem_outcome *outcome,
                          idem_error *error)
{
    int rc = idem_begin(store, as, outcome, error);
    if (rc != IDEM_OK || outcome->kind != IDEM_IN_PROGRESS)
        return rc;
    idem_outcome_clear(outcome);
    rc = idem_forget(store, as->key, error);
    return rc ? rc : idem_begin(store, as, outcome, error);
}

/* A replay of something else. */
static int begin_garbled(idem_store *store, const idem_request *as, idem_outcome *outcome,
                         idem_error *error)
{
    int rc = idem_begin(store, as, outcome, error);
    if (rc == IDEM_OK && outcome->kind == IDEM_COMPLETED)
        outcome->response = idem_str("null");
    return rc;
}

/* A takeover that does not hand on what was left. */
static int begin_blank(idem_store *store, const idem_request *as, idem_outcome *outcome,
                       idem_error *error)
{
    int rc = idem_begin(store, as, outcome, error);
    if (rc == IDEM_OK)
        outcome->checkpoint = (idem_bytes){NULL, 0};
    return rc;
}

/* A complete that checks nothing: the late owner's response stands in place of the new one's. */
static int complete_by_force(idem_store *store, const idem_request *as, idem_claim *claim,
                             idem_bytes response, idem_error *error)
{
    idem_outcome own;
    int rc = idem_complete(store, claim, response, error);
    if (rc != IDEM_ERR_LOST)
        return rc;
    rc = idem_forget(store, as->key, error);
    if (rc == IDEM_OK)
        rc = idem_begin(store, as, &own, error);
    if (rc)
        return rc;
    rc = own.kind == IDEM_NEW ? idem_complete(store, own.claim, response, error) : IDEM_ERR_LOST;
    idem_outcome_clear(&own);
    return rc;
}

/* A response that is acknowledged and not kept. */
static int complete_and_forget(idem_store *store, const idem_request *as, idem_claim *claim,
                               idem_bytes response, idem_error *error)
{
    int rc = idem_complete(store, claim, response, error);
    if (rc == IDEM_OK)
        (void)idem_forget(store, as->key, NULL);
    return rc;
}

/* Refusals that are not heard. */
static int complete_deaf(idem_store *store, const idem_request *as, idem_claim *claim,
                         idem_bytes response, idem_error *error)
{
    int rc = complete_rightly(store, as, claim, response, error);
    return rc == IDEM_ERR_LOST ? IDEM_OK : rc;
}

static int renew_deaf(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error)
{
    int rc = idem_renew(store, claim, lease_ms, error);
    return rc == IDEM_ERR_LOST ? IDEM_OK : rc;
}

/* A release that checks nothing: it removes whoever's claim is there. */
static int release_by_force(idem_store *store, const idem_request *as, idem_claim *claim,
                            idem_error *error)
{
    (void)claim;
    return idem_forget(store, as->key, error);
}

#define RIGHTLY                                                             \
    .begin = idem_begin, .complete = complete_rightly, .renew = idem_renew, \
    .release = release_rightly

static const ways all[] = {
    {.name = "", RIGHTLY},
    {.name = "two-stores", RIGHTLY, .two_stores = true},
    {.name = "unclaimed", RIGHTLY, .unclaimed = true},
    {"begin-by-force", begin_by_force, complete_rightly, idem_renew, release_rightly, false, false},
    {"begin-garbled", begin_garbled, complete_rightly, idem_renew, release_rightly, false, false},
    {"begin-blank", begin_blank, complete_rightly, idem_renew, release_rightly, false, false},
    {"complete-by-force", idem_begin, complete_by_force, idem_renew, release_rightly, false, false},
    {"complete-and-forget", idem_begin, complete_and_forget, idem_renew, release_rightly, false,
     false},
    {"deaf", idem_begin, complete_deaf, renew_deaf, release_rightly, false, false},
    {"release-by-force", idem_begin, complete_rightly, idem_renew, release_by_force, false, false},
};

const ways *broken_find(const char *name)
{
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    }
    return NULL;
}
