/* SPDX-License-Identifier: MIT */
/*
 * The way to the backend: a few instances (lanes), each entered by one thread at a time. Threads
 * that call while all lanes are busy wait in one queue, and the next lane that is free carries
 * what they want as one batch.
 */
#ifndef IDEM_CORE_LANES_H
#define IDEM_CORE_LANES_H

#include "line.h"

#define IDEM__LANES_MAX 16u

typedef struct {
    idem_backend *backend; /* NULL: not open yet */
    idem_config config;    /* lives as long as the instance */
    bool busy;
    bool crowded;     /* its last batch had more than one caller; its leader's while busy */
    int cancel_state; /* of the thread that occupies it, from before */
} idem__lane;

typedef struct {
    const idem_backend_ops *ops;
    idem_config config;     /* what a lane is opened with */
    atomic_bool concurrent; /* the one lane is open, and entered by all at once as `open_to_all` */
    idem__lane open_to_all;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a lane is no longer busy: for open, close and fork */
    idem__lane lanes[IDEM__LANES_MAX];
    size_t max;
    bool refused;       /* a reader lane was refused: there will be none */
    bool frozen;        /* a fork() is near: no lane may be entered */
    atomic_uint misses; /* what waits in the queue have taught: patience.h */
    idem__line line;
} idem__lanes;

/** Makes lanes of one role; none is open. Zero `max` makes lanes that are never used.
 *  @return IDEM_ERR_INTERNAL */
int idem__lanes_init(idem__lanes *lanes, const idem_backend_ops *ops, const idem_config *config,
                     idem_role role, size_t max, idem_error *error);

/** Opens the first lane. @return as a backend's `open`, IDEM_PERMANENT included */
int idem__lanes_open(idem__lanes *lanes, uint64_t deadline_ms, idem_error *error);

/** Closes all instances; no call is under way. */
void idem__lanes_close(idem__lanes *lanes);

/** Ends what idem__lanes_init() made; nobody knows the lanes any more. */
void idem__lanes_destroy(idem__lanes *lanes);

/** True if callers enter the backend all at once, without a queue. */
bool idem__lanes_are_concurrent(const idem__lanes *lanes);

/** True if an open lane is free at this moment. */
bool idem__lanes_idle(idem__lanes *lanes);

/** Carries out operations, alone or with others'. Every op has its answer or an error afterwards;
 *  returns by the deadline. The calling thread can't be cancelled meanwhile: its stack is others'.
 *  @param count  1 to IDEM_BATCH_MAX
 *  @return false: nothing was done, since there can be no lanes of this role */
bool idem__lanes_submit(idem__lanes *lanes, idem_op *const *ops, size_t count,
                        uint64_t deadline_ms);

/** Enters a lane alone, for scan, purge and check. The thread can't be cancelled until it leaves.
 *  @param[out] lane  end it with leave, by the same thread
 *  @return IDEM_ERR_UNAVAILABLE: none was free by the deadline; or as a backend's `open` */
int idem__lanes_enter(idem__lanes *lanes, uint64_t deadline_ms, idem__lane **lane,
                      idem_error *error);
void idem__lanes_leave(idem__lanes *lanes, idem__lane *lane);

/** Takes the lanes across a fork(). */
void idem__lanes_fork(idem__lanes *lanes, idem_fork_phase phase);

#endif
