/* SPDX-License-Identifier: MIT */
/* A leftist heap: of an entry's two children the right one has the shorter way to an empty place,
   so a way that always turns right has a logarithmic length. */
#include "timer.h"

static unsigned rank_of(const idem__timer *timer)
{
    return timer ? timer->rank : 0;
}

/* Puts the children in order. @return false: the rank is as it was */
static bool set_right(idem__timer *timer)
{
    unsigned before = timer->rank;
    if (rank_of(timer->left) < rank_of(timer->right)) {
        idem__timer *left = timer->left;
        timer->left = timer->right;
        timer->right = left;
    }
    timer->rank = (uint8_t)(rank_of(timer->right) + 1);
    return timer->rank != before;
}

/* Makes one tree of two, along their right edges. Neither root has a parent. @return the root */
static idem__timer *meld(idem__timers *timers, idem__timer *a, idem__timer *b)
{
    idem__timer *at = a;
    if (!a || !b)
        return a ? a : b;
    if (b->at_ms < a->at_ms) {
        at = b;
        b = a;
    }
    idem__timer *root = at;
    while (b) {
        idem__timer *right = at->right;
        timers->compared++;
        if (!right || b->at_ms < right->at_ms) {
            at->right = b;
            b->parent = at;
            b = right;
        }
        at = at->right;
    }
    for (at = at->parent; at != root; at = at->parent)
        (void)set_right(at);
    (void)set_right(root);
    return root;
}

void idem__timers_unset(idem__timers *timers, idem__timer *timer)
{
    idem__timer *parent = timer->parent;
    if (!timer->set)
        return;
    if (timer->left)
        timer->left->parent = NULL;
    if (timer->right)
        timer->right->parent = NULL;
    idem__timer *heir = meld(timers, timer->left, timer->right);
    if (heir)
        heir->parent = parent;
    if (!parent)
        timers->first = heir;
    else if (parent->left == timer)
        parent->left = heir;
    else
        parent->right = heir;
    while (parent && set_right(parent))
        parent = parent->parent;
    timer->set = false;
}

void idem__timers_set(idem__timers *timers, idem__timer *timer, uint64_t at_ms)
{
    idem__timers_unset(timers, timer);
    *timer = (idem__timer){.at_ms = at_ms, .set = true, .rank = 1};
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
