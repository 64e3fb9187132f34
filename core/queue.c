/* SPDX-License-Identifier: MIT */
/*
 * The queue and the batches. A ticket is in the queue, or in one batch, or nowhere. The state of a
 * batch is kept with the batch, on its leader's stack.
 */
#include "queue.h"

void idem__queue_init(idem__queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

void idem__queue_add(idem__queue *queue, idem__ticket *ticket)
{
    ticket->next = NULL;
    ticket->queued = true;
    *queue->last = ticket;
    queue->last = &ticket->next;
}

void idem__queue_remove(idem__queue *queue, idem__ticket *ticket)
{
    idem__ticket **at = &queue->first;
    while (*at != ticket)
        at = &(*at)->next;
    *at = ticket->next;
    if (!*at)
        queue->last = at;
    ticket->queued = false;
}

void idem__queue_take(idem__queue *queue, idem__batch *taken)
{
    idem__ticket **end = &taken->tickets;
    taken->count = 0;
    taken->callers = 0;
    taken->deadline_ms = UINT64_MAX;
    *end = NULL;
    while (queue->first && !queue->first->alone &&
           taken->count + queue->first->count <= IDEM_BATCH_MAX) {
        idem__ticket *ticket = queue->first;
        idem__queue_remove(queue, ticket);
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
    idem__ticket *next = taken->tickets;
    while (next) {
        idem__ticket *ticket = next;
        next = ticket->next; /* before its owner may return */
        ticket->refused = refused;
        idem__ticket_answer(ticket);
    }
}
