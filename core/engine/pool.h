/* SPDX-License-Identifier: MIT */
/*
 * The way to the backend: a few instances (pool), each entered by one thread at a time. Threads
 * that call while all pool are busy wait in one queue, and the next connection that is free carries
 * what they want as one batch.
 */
#ifndef IDEM_CORE_POOL_H
#define IDEM_CORE_POOL_H

#include "wait_queue.h"

#define IDEM__POOL_MAX 16u

typedef struct {
    idem_backend *backend; /* NULL: not open yet */
    idem_config config;    /* lives as long as the instance */
    bool busy;
    bool crowded;     /* its last batch had more than one caller; its leader's while busy */
    int cancel_state; /* of the thread that occupies it, from before */
} idem__connection;

typedef struct {
    const idem_backend_ops *ops;
    idem_config config;     /* what a connection is opened with */
    atomic_bool concurrent; /* the one connection is open, and entered by all at once as `open_to_all` */
    idem__connection open_to_all;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection is no longer busy: for open, close and fork */
    idem__connection connections[IDEM__POOL_MAX];
    size_t max;
    bool refused;       /* a reader connection was refused: there will be none */
    bool frozen;        /* a fork() is near: no connection may be entered */
    atomic_uint failed_spins; /* what waits in the queue have taught: patience.h */
    idem__wait_queue line;
} idem__pool;

/** Makes pool of one role; none is open. Zero `max` makes pool that are never used.
 *  @return IDEM_ERR_INTERNAL */
int idem__pool_init(idem__pool *pool, const idem_backend_ops *ops, const idem_config *config,
                     idem_role role, size_t max, idem_error *error);

/** Opens the first connection. @return as a backend's `open`, IDEM_PERMANENT included */
int idem__pool_open(idem__pool *pool, uint64_t deadline_ms, idem_error *error);

/** Closes all instances; no call is under way. */
void idem__pool_close(idem__pool *pool);

/** Ends what idem__pool_init() made; nobody knows the pool any more. */
void idem__pool_destroy(idem__pool *pool);

/** True if callers enter the backend all at once, without a queue. */
bool idem__pool_are_concurrent(const idem__pool *pool);

/** True if an open connection is free at this moment. */
bool idem__pool_idle(idem__pool *pool);

/** Carries out operations, alone or with others'. Every op has its answer or an error afterwards;
 *  returns by the deadline. The calling thread can't be cancelled meanwhile: its stack is others'.
 *  @param count  1 to IDEM_BATCH_MAX
 *  @return false: nothing was done, since there can be no pool of this role */
bool idem__pool_submit(idem__pool *pool, idem_op *const *ops, size_t count,
                        uint64_t deadline_ms);

/** Enters a connection alone, for scan, purge and check. The thread can't be cancelled until it leaves.
 *  @param[out] connection  end it with leave, by the same thread
 *  @return IDEM_ERR_UNAVAILABLE: none was free by the deadline; or as a backend's `open` */
int idem__pool_enter(idem__pool *pool, uint64_t deadline_ms, idem__connection **connection,
                      idem_error *error);
void idem__pool_leave(idem__pool *pool, idem__connection *connection);

/** How a pool is used at this moment. */
typedef struct {
    size_t open; /* those that are just being opened included */
    size_t busy;
    size_t max;
    size_t waiters;
} idem__pool_count;

/** Adds a pool's numbers to `count`. */
void idem__pool_usage(idem__pool *pool, idem__pool_count *count);

/** Takes the pool across a fork(). */
void idem__pool_fork(idem__pool *pool, idem_fork_phase phase);

#endif
