/* SPDX-License-Identifier: MIT */
/* The queue of tickets before some lanes, in the order in which they came, and batches taken from its
   head. The lanes' lock guards it; a batch is its leader's own. */
#ifndef IDEM_CORE_LINE_H
#define IDEM_CORE_LINE_H

#include "ticket.h"

typedef struct {
    idem__ticket *first;
    idem__ticket **last; /* where the next one is put */
    size_t count;
} idem__line;

/** Tickets taken together. */
typedef struct {
    idem_op *ops[IDEM_BATCH_MAX];
    size_t count;
    size_t callers;
    uint64_t deadline_ms; /**< the earliest of theirs */
    idem__ticket *tickets;
} idem__batch;

/** Makes it empty. */
void idem__line_init(idem__line *line);

void idem__line_add(idem__line *line, idem__ticket *ticket);
void idem__line_remove(idem__line *line, idem__ticket *ticket);

/** Takes what fits into a batch, up to somebody who wants a lane for himself. */
void idem__line_take(idem__line *line, idem__batch *taken);

/** Answers all of a batch; without the lanes' lock. */
void idem__batch_answer(const idem__batch *taken, bool refused);

#endif
