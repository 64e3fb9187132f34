/* SPDX-License-Identifier: MIT */
/*
 * The queue and the batches. A ticket is in the queue, or in one batch, or nowhere. The state of a
 * batch is kept with the batch, on its leader's stack.
 */
#include "wait_queue.h"

void idem__wait_queue_init(idem__wait_queue *line)
{
    line->first = NULL;
    line->last = &line->first;
    line->count = 0;
}

void idem__wait_queue_add(idem__wait_queue *line, idem__waiter *ticket)
{
    ticket->next = NULL;
    ticket->queued = true;
    *line->last = ticket;
    line->last = &ticket->next;
    line->count++;
}

void idem__wait_queue_remove(idem__wait_queue *line, idem__waiter *ticket)
{
    idem__waiter **at = &line->first;
    while (*at != ticket)
        at = &(*at)->next;
    *at = ticket->next;
    if (!*at)
        line->last = at;
    ticket->queued = false;
    line->count--;
}

void idem__wait_queue_take(idem__wait_queue *line, idem__batch *taken)
{
    idem__waiter **end = &taken->tickets;
    taken->count = 0;
    taken->callers = 0;
    taken->deadline_ms = UINT64_MAX;
    *end = NULL;
    while (line->first && !line->first->alone &&
           taken->count + line->first->count <= IDEM_BATCH_MAX) {
        idem__waiter *ticket = line->first;
        idem__wait_queue_remove(line, ticket);
        ticket->next = NULL;
        *end = ticket;
        end = &ticket->next;
        taken->callers++;
        for (size_t i = 0; i < ticket->count; i++)
            taken->ops[taken->count++] = ticket->ops[i];
        if (ticket->deadline_ms < taken->deadline_ms)
            taken->deadline_ms = ticket->deadline_ms;
    }
}

void idem__batch_answer(const idem__batch *taken, bool refused)
{
    idem__waiter *next = taken->tickets;
    while (next) {
        idem__waiter *ticket = next;
        next = ticket->next; /* before its owner may return */
        ticket->refused = refused;
        idem__waiter_answer(ticket);
    }
}
