/* SPDX-License-Identifier: MIT */
/* A doubly linked list: a waiter leaves at its deadline, from wherever it is. */
#include "wait_queue.h"

void idem__wait_queue_add(idem__wait_queue *queue, idem__waiter *waiter)
{
    waiter->next = NULL;
    waiter->previous = queue->last;
    if (queue->last)
        queue->last->next = waiter;
    else
        queue->first = waiter;
    queue->last = waiter;
    queue->count++;
}

void idem__wait_queue_remove(idem__wait_queue *queue, idem__waiter *waiter)
{
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        queue->first = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else
        queue->last = waiter->previous;
    waiter->next = NULL;
    waiter->previous = NULL;
    queue->count--;
}

void idem__wait_queue_finish(idem__wait_queue *queue)
{
    idem__waiter *next = queue->first;
    queue->first = NULL;
    queue->last = NULL;
    queue->count = 0;
    while (next) {
        idem__waiter *waiter = next;
        next = waiter->next; /* before its owner may return */
        idem__waiter_finish(waiter);
    }
}
