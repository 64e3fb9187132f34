/* SPDX-License-Identifier: MIT */
/* A change that a claim's owner makes, in three parts. */
#ifndef IDEM_CORE_CLAIM_OPS_H
#define IDEM_CORE_CLAIM_OPS_H

#include "claim.h"
#include "protocol.h"

/** What is to be changed. */
typedef struct {
    idem__call_kind kind; /* complete, renew, checkpoint or release */
    idem_claim *claim;
    idem_bytes text;        /* complete, checkpoint; the caller's */
    idem_encoding encoding; /* complete: what the text is */
    uint64_t lease_ms;      /* renew */
} idem__change_request;

/** A change under way. */
typedef struct {
    idem_claim *claim;
    bool ends;                /* the claim, if it succeeds */
    idem__claim_bytes *bytes; /* what the bytes of the call's `held` are in */
    idem__call call;
} idem__change;

/** Checks the input and makes a call of it, whose deadline counts from now.
 *  @return as idem_complete(), for input that is not valid; nothing has to be finished then */
int idem__change_make(idem_store *store, const idem__change_request *request, idem__change *change,
                      idem_error *error);

/** The same for one of many that are asked for at the same time. @param now  idem_monotonic_ms() */
int idem__change_make_at(idem_store *store, const idem__change_request *request, uint64_t now,
                         idem__change *change, idem_error *error);

/** Takes the call's answer into the claim, and frees what the change holds. @return the call's
 *  code */
int idem__change_finish(idem_store *store, idem__change *change, idem_error *error);

/** Frees what a change holds that is another process's to finish, and its reference to the
 *  claim. */
void idem__change_abandon(idem__change *change);

#endif
