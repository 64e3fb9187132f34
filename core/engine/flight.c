/* SPDX-License-Identifier: MIT */
/* Lists of submitted calls: one may be taken out anywhere. */
#include "flight.h"

void idem__flights_add(idem__flights *list, idem__flight *flight)
{
    flight->next = NULL;
    flight->previous = list->last;
    if (list->last)
        list->last->next = flight;
    else
        list->first = flight;
    list->last = flight;
    list->count++;
}

void idem__flights_remove(idem__flights *list, idem__flight *flight)
{
    if (flight->previous)
        flight->previous->next = flight->next;
    else
        list->first = flight->next;
    if (flight->next)
        flight->next->previous = flight->previous;
    else
        list->last = flight->previous;
    list->count--;
}
