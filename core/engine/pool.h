/* SPDX-License-Identifier: MIT */
/*
 * A store's connections of one role, and the queue before them. A connection is one instance of the
 * backend. The threads of the callers do all the work: one of those that wait takes what is in the
 * queue as one batch.
 */
#ifndef IDEM_CORE_POOL_H
#define IDEM_CORE_POOL_H

#include "spin.h"
#include "wait_queue.h"

#define IDEM__POOL_MAX 16u

typedef struct idem__pool idem__pool;

/* Guarded by the pool's lock, but for `io` and the instance. */
typedef struct idem__connection {
    idem__pool *pool;
    idem_backend *backend; /* NULL: not open yet */
    idem_config config;    /* lives as long as the instance */
    bool busy;             /* one thread has it: to open, submit, send or close, or for a scan */
    size_t callers;        /* of its last batch */
    int cancel_state;      /* of the thread that is alone on it, from before */

    /* With send and receive. A waiter is on the list from the moment its batch is taken until its
       last op has been given back. */
    pthread_mutex_t
        io; /* held inside send, receive, abandon, drop and wants; before the pool's lock */
    idem__wait_queue waiters;
    size_t in_flight;          /* ops that the instance has */
    idem__waiter *receiver;    /* its thread receives, or is woken to do so; NULL: none */
    bool sending;              /* `busy` for a moment, to send */
    bool lost;                 /* the last one has failed; the next batch makes it anew */
    bool unsent;               /* bytes are left that the system did not take */
    bool draining;             /* wanted alone: nothing new is sent */
    _Atomic uint64_t heard_ms; /* when something last came */
    _Atomic uint64_t least_ms; /* the shortest timeout of its waiters since it had none */
    uint64_t progress;         /* idem_wants.progress at that moment; guarded by `io` */
    uint64_t owed_ms;          /* since when it owes an answer to a caller that has left; 0: it does
                                  not. Guarded by `io` */
    uint64_t held_until_ns;    /* an answer is near: nothing else is sent until it comes, or until
                                  then; 0: not held */
    idem__waiter *timed;       /* the one whose answer is timed; NULL: none is */
    uint64_t timed_ns;         /* when it was sent */
    uint64_t near_ns;          /* an answer that takes no longer is near */
    unsigned far_answers;      /* in a row */
    uint64_t not_before_ms;    /* it could not be had, and is left alone until then */
} idem__connection;

struct idem__pool {
    const idem_backend_ops *ops;
    idem_config config;     /* what a connection is opened with */
    bool pipelined;         /* the backend has send and receive */
    atomic_bool concurrent; /* the one connection is open, and entered by all at once */
    idem__connection open_to_all;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection came to rest: for open, close and fork */
    idem__connection connections[IDEM__POOL_MAX];
    size_t max;
    bool refused;             /* a reader was refused: there will be none */
    bool frozen;              /* a fork() is near: nothing is begun */
    atomic_uint failed_spins; /* what waits in the queue have taught: spin.h */
    idem__wait_queue queue;
    idem__wait_queue alone; /* pipelined: those that want a connection for themselves */
};

/** Makes a pool of one role; nothing is open. Zero `max` makes a pool that is never used.
 *  @return IDEM_ERR_INTERNAL */
int idem__pool_init(idem__pool *pool, const idem_backend_ops *ops, const idem_config *config,
                    idem_role role, size_t max, idem_error *error);

/** Opens the first connection. @return as a backend's `open`, IDEM_PERMANENT included */
int idem__pool_open(idem__pool *pool, uint64_t deadline_ms, idem_error *error);

/** Closes all instances; no call is under way. */
void idem__pool_close(idem__pool *pool);

/** Ends what idem__pool_init() made; no other thread knows the pool any more. */
void idem__pool_destroy(idem__pool *pool);

/** True if callers enter the backend all at once, without a queue. */
bool idem__pool_is_concurrent(const idem__pool *pool);

/** True if an open connection is free at this moment. */
bool idem__pool_is_idle(idem__pool *pool);

/** Carries out operations, alone or with others'. Every op has its answer or an error afterwards;
 *  returns by the deadline. The calling thread can't be cancelled meanwhile: others need its stack.
 *  @param count  1 to IDEM_BATCH_MAX
 *  @return false: nothing was done, since there can be no connection of this role */
bool idem__pool_submit(idem__pool *pool, idem_op *const *ops, size_t count, uint64_t deadline_ms);

/** Takes a connection alone, for scan, purge and check. The thread can't be cancelled until it
 *  leaves.
 *  @param[out] connection  end it with leave, by the same thread
 *  @return IDEM_ERR_UNAVAILABLE: none was free by the deadline; or as a backend's `open` */
int idem__pool_enter(idem__pool *pool, uint64_t deadline_ms, idem__connection **connection,
                     idem_error *error);
void idem__pool_leave(idem__pool *pool, idem__connection *connection);

/** How a pool is used at this moment. */
typedef struct {
    size_t open; /**< those that are just being opened included */
    size_t busy; /**< those with something under way */
    size_t max;
    size_t waiters;
} idem__pool_count;

/** Adds a pool's numbers to `count`. */
void idem__pool_usage(idem__pool *pool, idem__pool_count *count);

/* ------------------------------------------------------------------------------------- fork() */

/** Begins nothing more. What is under way goes on, and callers wait until their deadlines. */
void idem__pool_freeze(idem__pool *pool);

/** Waits until nothing of a frozen pool is under way. @return false: the time has come first */
bool idem__pool_rest(idem__pool *pool, uint64_t until_ms);

/** Undoes a freeze. */
void idem__pool_thaw(idem__pool *pool);

/** Takes a frozen pool at rest across a fork(): the lock is held from PREPARE on. */
void idem__pool_fork(idem__pool *pool, idem_fork_phase phase);

/* -------------------------------------------------------- among pool.c, lead.c, pipeline.h */

/** The lock is held for all of these, unless they say otherwise. */

/** A connection to begin something on: the first open one that is free, else one to open.
 *  @return NULL: there is neither */
idem__connection *idem__pool_free_connection(idem__pool *pool);

/** Opens the instance of a connection that this thread has, without the lock.
 *  @return the code, with IDEM_PERMANENT if repeating does not help */
int idem__pool_open_connection(idem__connection *connection, uint64_t deadline_ms,
                               idem_error *error);

/** True if what opening a connection answered is that there can be none for readers. No lock is
 *  needed. */
static inline bool idem__pool_is_refusal(const idem__connection *connection, int rc)
{
    return (rc & ~IDEM_PERMANENT) == IDEM_ERR_UNSUPPORTED && !connection->backend &&
           connection->config.role == IDEM_ROLE_READER;
}

/** Gives a connection that this thread had back. */
void idem__pool_release(idem__connection *connection);

/** Wakes the waiter that has to look, if something can be begun. */
void idem__pool_wake_head(idem__pool *pool);

/** Takes a waiter through an exclusive backend. The lock is held before, and open afterwards. */
void idem__lead_run(idem__pool *pool, idem__waiter *waiter);

/** Waits for a connection that this thread is alone on. @return NULL: none was free by the
 *  deadline. The lock is held before, and open afterwards */
idem__connection *idem__lead_enter(idem__pool *pool, idem__waiter *waiter);

/** Fails the ops that have no answer. `code` may have IDEM_PERMANENT added. No lock is needed. */
void idem__pool_fail(idem_op *const *ops, size_t count, int code, const char *message);

#endif
