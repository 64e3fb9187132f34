/* SPDX-License-Identifier: MIT */
/* One caller's place in the queue of some lanes, and how he waits there. */
#ifndef IDEM_CORE_TICKET_H
#define IDEM_CORE_TICKET_H

#include "parker.h"

#include <idem/backend.h>

#include <stdatomic.h>

typedef struct idem__ticket {
    idem_op *const *ops;
    size_t count;
    uint64_t deadline_ms;
    bool alone;          /**< wants a lane for itself, for something that is no op */
    bool queued;         /**< guarded by the lanes' lock */
    bool refused;        /**< written before the answer */
    atomic_uint signs;   /**< what has come, and whether the owner sleeps */
    idem__parker parker; /**< one wake for each time that another has taken ASLEEP away */
    struct idem__ticket *next;
} idem__ticket;

/** Makes a ticket on its owner's stack. @return IDEM_ERR_NO_MEMORY */
int idem__ticket_init(idem__ticket *ticket, idem_op *const *ops, size_t count,
                      uint64_t deadline_ms);

/** Nobody but its owner knows it any more. */
void idem__ticket_destroy(idem__ticket *ticket);

/** Tells the owner that it is answered: the caller's last touch. */
void idem__ticket_answer(idem__ticket *ticket);
bool idem__ticket_is_answered(const idem__ticket *ticket);

/** Tells the owner to look for a free lane. The lanes' lock is held. */
void idem__ticket_call(idem__ticket *ticket);

/** The owner is about to look, with the lanes' lock held: calls up to now are done with. */
void idem__ticket_heed(idem__ticket *ticket);

/** Waits for an answer or a call. Without the lanes' lock.
 *  @param deadline_ms  UINT64_MAX: none
 *  @param misses       what waits of this kind have taught, for who yields before he sleeps; or NULL
 *  @return false: the deadline has come */
bool idem__ticket_wait(idem__ticket *ticket, uint64_t deadline_ms, atomic_uint *misses);

#endif
