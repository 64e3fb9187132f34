/* SPDX-License-Identifier: MIT */
/* The queue of tickets before some pool, in the order in which they came, and batches taken from its
   head. The pool' lock guards it; a batch is its leader's own. */
#ifndef IDEM_CORE_WAIT_QUEUE_H
#define IDEM_CORE_WAIT_QUEUE_H

#include "waiter.h"

typedef struct {
    idem__waiter *first;
    idem__waiter **last; /* where the next one is put */
    size_t count;
} idem__wait_queue;

/** Tickets taken together. */
typedef struct {
    idem_op *ops[IDEM_BATCH_MAX];
    size_t count;
    size_t callers;
    uint64_t deadline_ms; /**< the earliest of theirs */
    idem__waiter *tickets;
} idem__batch;

/** Makes it empty. */
void idem__wait_queue_init(idem__wait_queue *line);

void idem__wait_queue_add(idem__wait_queue *line, idem__waiter *ticket);
void idem__wait_queue_remove(idem__wait_queue *line, idem__waiter *ticket);

/** Takes what fits into a batch, up to somebody who wants a connection for himself. */
void idem__wait_queue_take(idem__wait_queue *line, idem__batch *taken);

/** Answers all of a batch; without the pool' lock. */
void idem__batch_answer(const idem__batch *taken, bool refused);

#endif
