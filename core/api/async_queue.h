/* SPDX-License-Identifier: MIT */
/* The queue behind an idem_async: where submitted calls are, and the threads that see to them. */
#ifndef IDEM_CORE_ASYNC_QUEUE_H
#define IDEM_CORE_ASYNC_QUEUE_H

#include "request.h"
#include "store.h"
#include "notifier.h"

#define IDEM__QUEUE_WAYS    2u
#define IDEM__QUEUE_BUCKETS 256u

typedef struct {
    idem__request *first;
    idem__request *last;
    size_t count;
} idem__requests;

/* What one worker takes its jobs from. */
typedef struct {
    idem_async *async;
    idem__requests ready;
    bool running;
    pthread_t thread;
    pthread_cond_t wanted;
} idem__way;

struct idem_async {
    idem_store *store;
    idem_async *next;      /* on the same store; guarded by the list of stores */
    idem__notifier wake;       /* raised while `answered` or, without workers, a way has jobs */
    atomic_size_t pending; /* calls without a callback yet */
    pthread_mutex_t lock;

    /* guarded by the lock */
    idem__way ways[IDEM__QUEUE_WAYS]; /* writes; reads, if these have a worker of their own */
    size_t workers;                   /* 0: the thread that dispatches carries the calls out */
    idem__requests later;
    idem__requests answered;
    idem__requests orphans; /* in the child of a fork(): the parent's, to be freed */
    idem__request *buckets[IDEM__QUEUE_BUCKETS]; /* by id: all that are not answered */
    idem_async_call last_id;
    size_t sending;        /* threads that have jobs in hand */
    bool frozen;           /* a fork() is near: no job may be taken */
    bool closing;          /* no job is accepted */
    bool stopping;         /* threads end */
    pthread_cond_t rested; /* `sending` fell */

    bool watched; /* the thread that watches over time runs */
    pthread_t watcher;
    uint64_t look_ms; /* when it looks next */
    pthread_cond_t sooner;

    size_t dispatching; /* how deep */
    pthread_t dispatcher;
};

/** Makes a queue without threads. @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_INTERNAL */
int idem__queue_init(idem_async *async, idem_store *store, idem_error *error);

/** Ends what it made. No thread runs. */
void idem__queue_destroy(idem_async *async);

/** Adds a job, and starts the threads if they do not run. The job stays the caller's if it fails.
 *  @param[out] call  its name; may be NULL
 *  @return IDEM_ERR_UNAVAILABLE: no more calls are taken; IDEM_ERR_NO_MEMORY */
int idem__queue_add(idem_async *async, idem__request *job, idem_async_call *call, idem_error *error);

/** Where there are no workers: carries out what is ready. */
void idem__queue_work(idem_async *async);

/** Takes the first answered job. Lock held. @return NULL: there is none */
idem__request *idem__queue_take_answered(idem_async *async);

/** Makes the descriptor unreadable if there is nothing to dispatch. Lock held. */
void idem__queue_calm(idem_async *async);

/** @return as idem_async_cancel() */
bool idem__queue_cancel(idem_async *async, idem_async_call call);

/** Cancels what is not sent, and keeps the rest from going on. Lock held. */
void idem__queue_cancel_all(idem_async *async);

/** Ends the threads, when what is sent has come back. All jobs are answered then. */
void idem__queue_stop(idem_async *async);

/** Before a fork(): sends nothing more; waits until nothing is in hand (false: not in time); undoes
 *  it. */
void idem__queue_freeze(idem_async *async);
bool idem__queue_rest(idem_async *async, uint64_t until_ms);
void idem__queue_thaw(idem_async *async);

/** Takes a frozen queue at rest across a fork(). The lock stays held between the phases. */
void idem__queue_fork(idem_async *async, idem_fork_phase phase);

#endif
