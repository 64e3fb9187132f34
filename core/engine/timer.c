/* SPDX-License-Identifier: MIT */
/* A pairing heap. `previous` of an entry is the sibling before it, or the parent if it is the first
   child, so that an entry can be cut out without a search. */
#include "timer.h"

/* Makes one of two trees the first child of the other. @return the root */
static idem__timer *meld(idem__timers *timers, idem__timer *a, idem__timer *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    timers->compared++;
    if (b->at_ms < a->at_ms) {
        idem__timer *earlier = b;
        b = a;
        a = earlier;
    }
    b->sibling = a->child;
    if (b->sibling)
        b->sibling->previous = b;
    b->previous = a;
    a->child = b;
    return a;
}

/* Melds siblings in pairs from the left, then the pairs from the right: without recursion, since a
   first child may have all others as siblings. */
static idem__timer *meld_siblings(idem__timers *timers, idem__timer *first)
{
    idem__timer *pairs = NULL;
    idem__timer *root = NULL;
    while (first) {
        idem__timer *a = first;
        idem__timer *b = a->sibling;
        first = b ? b->sibling : NULL;
        a->sibling = NULL;
        if (b)
            b->sibling = NULL;
        idem__timer *pair = meld(timers, a, b);
        pair->sibling = pairs;
        pairs = pair;
    }
    while (pairs) {
        idem__timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(timers, root, pairs);
        pairs = next;
    }
    if (root)
        root->previous = NULL;
    return root;
}

static void cut(idem__timer *timer)
{
    if (timer->previous->child == timer)
        timer->previous->child = timer->sibling;
    else
        timer->previous->sibling = timer->sibling;
    if (timer->sibling)
        timer->sibling->previous = timer->previous;
    timer->sibling = NULL;
    timer->previous = NULL;
}

void idem__timers_unset(idem__timers *timers, idem__timer *timer)
{
    if (!timer->set)
        return;
    if (timers->first == timer) {
        timers->first = meld_siblings(timers, timer->child);
    } else {
        cut(timer);
        timers->first = meld(timers, timers->first, meld_siblings(timers, timer->child));
    }
    timer->child = NULL;
    timer->set = false;
}

void idem__timers_set(idem__timers *timers, idem__timer *timer, uint64_t at_ms)
{
    idem__timers_unset(timers, timer);
    timer->at_ms = at_ms;
    timer->child = NULL;
    timer->sibling = NULL;
    timer->previous = NULL;
    timer->set = true;
    timers->first = meld(timers, timers->first, timer);
}

uint64_t idem__timers_next_ms(const idem__timers *timers)
{
    return timers->first ? timers->first->at_ms : UINT64_MAX;
}

idem__timer *idem__timers_take_due(idem__timers *timers, uint64_t now_ms)
{
    idem__timer *first = timers->first;
    if (!first || first->at_ms > now_ms)
        return NULL;
    idem__timers_unset(timers, first);
    return first;
}
