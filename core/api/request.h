/* SPDX-License-Identifier: MIT */
/* A submitted call: the input copied, a begin or a change driven step by step, the answer kept. */
#ifndef IDEM_CORE_REQUEST_H
#define IDEM_CORE_REQUEST_H

#include "begin.h"
#include "claim_ops.h"

#include <idem/async.h>

typedef enum {
    IDEM__REQUEST_QUEUED = 1, /* its operation can be sent */
    IDEM__REQUEST_DELAYED,     /* not before `due_ms` */
    IDEM__REQUEST_IN_FLIGHT,      /* in the hands of the thread that carries it out */
    IDEM__REQUEST_DONE
} idem__request_state;

typedef struct idem__request idem__request;
struct idem__request {
    idem_async_call id;
    idem__request *next; /* in the list of its state */
    idem__request *previous;
    idem__request *same_bucket;
    idem__request_state state;

    idem__call *call; /* of `begin` or `change` */
    bool waits;       /* LATER: for its key; else it pauses before a repeat */
    atomic_bool no_further;
    uint64_t pause_ms;
    uint64_t due_ms;     /* LATER */
    uint64_t expires_ms; /* READY, LATER: when it is answered even if nobody is free to send it */

    idem_async_begin_fn begun; /* a begin; else NULL */
    idem_async_change_fn changed;
    void *user;
    idem_error error;
    idem_outcome outcome;

    union {
        idem__begin begin;
        idem__change change;
    };
    char *text;   /* of a change: the caller's, copied */
    char input[]; /* of a begin: key, fingerprint, token */
};

/** Makes a job of a request, READY. @return as idem_async_begin() */
int idem__request_begin(idem_store *store, const idem_request *request, idem__request **job,
                    idem_error *error);

/** Makes one of a change, whose claim is in the job's hands from then on. @return likewise */
int idem__request_change(idem_store *store, const idem__change_request *request, idem__request **job,
                     idem_error *error);

/** Takes in what came of a SENT job's operation. @return what it is now: READY, LATER or ANSWERED.
 *  Setting its `state` is left to who holds the queue's lock */
idem__request_state idem__request_step(idem_store *store, idem__request *job);

/** Makes a LATER job READY. */
void idem__request_resume(const idem_store *store, idem__request *job);

/** Answers a READY or LATER job, which goes no further: because somebody wants it, or because its
 *  deadline has come. */
void idem__request_cancel(idem_store *store, idem__request *job, const char *why);
void idem__request_expire(idem_store *store, idem__request *job);

/** Runs an ANSWERED job's callback and frees the job. */
void idem__request_tell(idem__request *job);

/** In the child of a fork(), with the keepalive's lock held: gives the claim of a change back. */
void idem__request_disown(idem__request *job);

/** Frees a job that nobody is told of. */
void idem__request_free(idem__request *job);

#endif
