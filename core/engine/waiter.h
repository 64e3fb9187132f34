/* SPDX-License-Identifier: MIT */
/* One caller's place in a pool: its operations, where they are, and how its thread waits. */
#ifndef IDEM_CORE_WAITER_H
#define IDEM_CORE_WAITER_H

#include "park.h"

#include <idem/backend.h>

#include <stdatomic.h>

struct idem__connection;

typedef struct idem__waiter {
    /* set before it is queued */
    idem_op *const *ops;
    size_t count;
    uint64_t start_ms; /**< when it was queued, idem_monotonic_ms() */
    uint64_t deadline_ms;
    bool alone; /**< wants a connection for itself, for something that is no op */

    /* guarded by the pool's lock */
    bool queued;
    bool done;                           /**< all ops have their answer; DONE is about to be set */
    bool refused;                        /**< there can be no connection of this role */
    struct idem__connection *connection; /**< on its list; NULL: on none */
    uint64_t sent_ms;                    /**< when it came on that list */
    bool gave_up;                        /**< it has given that connection up */
    size_t sent;                         /**< ops that its backend has taken */
    size_t answered;
    struct idem__waiter *next; /* in the queue, on a connection's list, or among those to wake */
    struct idem__waiter *previous;

    atomic_uint signs;   /**< what has come, and whether the owner is parked */
    idem__parker parker; /**< one unpark for each time that another thread took PARKED away */
} idem__waiter;

/** Makes a waiter on its owner's stack. @return IDEM_ERR_NO_MEMORY */
int idem__waiter_init(idem__waiter *waiter, idem_op *const *ops, size_t count,
                      uint64_t deadline_ms);

/** No other thread knows it any more. */
void idem__waiter_destroy(idem__waiter *waiter);

/** Tells the owner that it is done: the calling thread's last touch. */
void idem__waiter_finish(idem__waiter *waiter);
bool idem__waiter_is_done(const idem__waiter *waiter);

/** Tells the owner to look for something to do. The pool's lock is held. */
void idem__waiter_wake(idem__waiter *waiter);

/** The owner is about to look, with the pool's lock held: wakes up to now are done with. */
void idem__waiter_heed(idem__waiter *waiter);

/** Waits for DONE or a wake. Without the pool's lock.
 *  @param until_ms      UINT64_MAX: no limit
 *  @param failed_spins  what waits of this kind have taught, for one that spins before it parks; or
 *                       NULL
 *  @return false: the time has come first */
bool idem__waiter_wait(idem__waiter *waiter, uint64_t until_ms, atomic_uint *failed_spins);

#endif
