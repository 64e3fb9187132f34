/* SPDX-License-Identifier: MIT */
/* A submitted call: the input copied, a begin or a change driven step by step, the answer kept. */
#ifndef IDEM_CORE_JOB_H
#define IDEM_CORE_JOB_H

#include "begin.h"
#include "change.h"

#include <idem/async.h>

typedef enum {
    IDEM__JOB_READY = 1, /* its operation can be sent */
    IDEM__JOB_LATER,     /* not before `due_ms` */
    IDEM__JOB_SENT,      /* in the hands of the thread that carries it out */
    IDEM__JOB_ANSWERED
} idem__job_state;

typedef struct idem__job idem__job;
struct idem__job {
    idem_async_call id;
    idem__job *next; /* in the list of its state */
    idem__job *previous;
    idem__job *same_bucket;
    idem__job_state state;

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
int idem__job_begin(idem_store *store, const idem_request *request, idem__job **job,
                    idem_error *error);

/** Makes one of a change, whose claim is in the job's hands from then on. @return likewise */
int idem__job_change(idem_store *store, const idem__change_request *request, idem__job **job,
                     idem_error *error);

/** Takes in what came of a SENT job's operation. @return what it is now: READY, LATER or ANSWERED.
 *  Setting its `state` is left to who holds the queue's lock */
idem__job_state idem__job_step(idem_store *store, idem__job *job);

/** Makes a LATER job READY. */
void idem__job_resume(const idem_store *store, idem__job *job);

/** Answers a READY or LATER job, which goes no further: because somebody wants it, or because its
 *  deadline has come. */
void idem__job_cancel(idem_store *store, idem__job *job, const char *why);
void idem__job_expire(idem_store *store, idem__job *job);

/** Runs an ANSWERED job's callback and frees the job. */
void idem__job_tell(idem__job *job);

/** In the child of a fork(), with the keepalive's lock held: gives the claim of a change back. */
void idem__job_disown(idem__job *job);

/** Frees a job that nobody is told of. */
void idem__job_free(idem__job *job);

#endif
