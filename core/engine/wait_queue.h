/* SPDX-License-Identifier: MIT */
/* Waiters in the order in which they came. The pool's lock guards it. */
#ifndef IDEM_CORE_WAIT_QUEUE_H
#define IDEM_CORE_WAIT_QUEUE_H

#include "waiter.h"

/** All zero: empty. A waiter is in one at a time. */
typedef struct {
    idem__waiter *first;
    idem__waiter *last;
    size_t count;
} idem__wait_queue;

void idem__wait_queue_add(idem__wait_queue *queue, idem__waiter *waiter);
void idem__wait_queue_remove(idem__wait_queue *queue, idem__waiter *waiter);

/** Tells each waiter of a queue that nobody guards any more that it is done; leaves it empty. */
void idem__wait_queue_finish(idem__wait_queue *queue);

#endif
