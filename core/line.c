/* SPDX-License-Identifier: MIT */
/*
 * The queue and the batches. A ticket is in the queue, or in one batch, or nowhere. The state of a
 * batch is kept with the batch, on its leader's stack.
 */
#include "line.h"

void idem__line_init(idem__line *line)
{
    line->first = NULL;
    line->last = &line->first;
    line->count = 0;
}

void idem__line_add(idem__line *line, idem__ticket *ticket)
{
    ticket->next = NULL;
    ticket->queued = true;
    *line->last = ticket;
    line->last = &ticket->next;
    line->count++;
}

void idem__line_remove(idem__line *line, idem__ticket *ticket)
{
    idem__ticket **at = &line->first;
    while (*at != ticket)
        at = &(*at)->next;
    *at = ticket->next;
    if (!*at)
        line->last = at;
    ticket->queued = false;
    line->count--;
}

void idem__line_take(idem__line *line, idem__batch *taken)
{
    idem__ticket **end = &taken->tickets;
    taken->count = 0;
    taken->callers = 0;
    taken->deadline_ms = UINT64_MAX;
    *end = NULL;
    while (line->first && !line->first->alone &&
           taken->count + line->first->count <= IDEM_BATCH_MAX) {
        idem__ticket *ticket = line->first;
        idem__line_remove(line, ticket);
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
