/* SPDX-License-Identifier: MIT */
/* A submitted begin or change: the caller's input, copied, the call, and the answer kept for its
   callback. */
#ifndef IDEM_CORE_SUBMITTED_H
#define IDEM_CORE_SUBMITTED_H

#include "begin.h"
#include "claim_ops.h"
#include "flight.h"

typedef struct idem__request {
    idem__flight flight; /* first */

    idem_async_begin_fn begun; /* a begin; else NULL */
    idem_async_change_fn changed;
    void *user;
    idem_bytes key; /* as the caller named it: in `input`, or in `memory` */
    idem__events events;
    idem_error error;
    idem_outcome outcome;

    union {
        idem__begin begin;
        idem__change change;
    };
    char *memory; /* of a change: the caller's text, and the key */
    char input[]; /* of a begin: key, fingerprint, token */
} idem__request;

/** Makes a request for a begin, whose call is started. @return as idem_async_begin() */
int idem__request_begin(idem_store *store, const idem_request *request, idem_async_begin_fn fn,
                        void *user, idem__request **made, idem_error *error);

/** Makes one for a change, which has the claim until it is done. @return likewise */
int idem__request_change(idem_store *store, const idem__change_request *change,
                         idem_async_change_fn fn, void *user, idem__request **made,
                         idem_error *error);

/** Ends a request that was not taken: its callback is not called. */
void idem__request_drop(idem_store *store, idem__request *request);

#endif
