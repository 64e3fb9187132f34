/* SPDX-License-Identifier: MIT */
/* Points in time, the earliest first: a heap whose entries are parts of what they belong to, so
   that nothing is allocated. Each step takes logarithmic time, the first one after many entries
   came in too. Its owner's lock guards it. Algorithm: Crane, "Linear lists and priority queues as
   balanced binary trees", Stanford (1972). */
#ifndef IDEM_CORE_TIMER_H
#define IDEM_CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One entry. All zero: not in a heap. */
typedef struct idem__timer {
    uint64_t at_ms; /**< idem_monotonic_ms(); read it, set it by idem__timers_set() */
    bool set;       /**< it is in a heap */
    uint8_t rank;   /* steps to the nearest empty place below it */
    struct idem__timer *left;
    struct idem__timer *right;
    struct idem__timer *parent;
} idem__timer;

/** The heap. All zero: empty. */
typedef struct {
    idem__timer *first; /**< the earliest; NULL: there is none */
    uint64_t compared;  /**< pairs of entries, since the heap was made: what it has cost */
} idem__timers;

/** Puts an entry in, or moves it if it is in already. */
void idem__timers_set(idem__timers *timers, idem__timer *timer, uint64_t at_ms);

/** Takes an entry out if it is in. */
void idem__timers_unset(idem__timers *timers, idem__timer *timer);

/** The earliest point, or UINT64_MAX. */
uint64_t idem__timers_next_ms(const idem__timers *timers);

/** Takes out the earliest entry if it is due at `now_ms`. @return NULL: none is */
idem__timer *idem__timers_take_due(idem__timers *timers, uint64_t now_ms);

#endif
