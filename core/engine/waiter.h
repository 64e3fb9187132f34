/* SPDX-License-Identifier: MIT */
/* One caller's place in the queue of some pool, and how he waits there. */
#ifndef IDEM_CORE_WAITER_H
#define IDEM_CORE_WAITER_H

#include "park.h"

#include <idem/backend.h>

#include <stdatomic.h>

typedef struct idem__waiter {
    idem_op *const *ops;
    size_t count;
    uint64_t deadline_ms;
    bool alone;          /**< wants a connection for itself, for something that is no op */
    bool queued;         /**< guarded by the pool' lock */
    bool refused;        /**< written before the answer */
    atomic_uint signs;   /**< what has come, and whether the owner sleeps */
    idem__parker parker; /**< one wake for each time that another has taken ASLEEP away */
    struct idem__waiter *next;
} idem__waiter;

/** Makes a ticket on its owner's stack. @return IDEM_ERR_NO_MEMORY */
int idem__waiter_init(idem__waiter *ticket, idem_op *const *ops, size_t count,
                      uint64_t deadline_ms);

/** Nobody but its owner knows it any more. */
void idem__waiter_destroy(idem__waiter *ticket);

/** Tells the owner that it is answered: the caller's last touch. */
void idem__waiter_answer(idem__waiter *ticket);
bool idem__waiter_is_answered(const idem__waiter *ticket);

/** Tells the owner to look for a free connection. The pool' lock is held. */
void idem__waiter_call(idem__waiter *ticket);

/** The owner is about to look, with the pool' lock held: calls up to now are done with. */
void idem__waiter_heed(idem__waiter *ticket);

/** Waits for an answer or a call. Without the pool' lock.
 *  @param deadline_ms  UINT64_MAX: none
 *  @param failed_spins       what waits of this kind have taught, for who yields before he sleeps; or NULL
 *  @return false: the deadline has come */
bool idem__waiter_wait(idem__waiter *ticket, uint64_t deadline_ms, atomic_uint *failed_spins);

#endif
