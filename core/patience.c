/* SPDX-License-Identifier: MIT */
/*
 * Waiting without sleeping. To fall asleep and be woken costs some 20 microseconds, as much as a
 * round trip to a server on the same machine; to give the processor away and look again costs less
 * than one. So whoever expects an answer soon yields for a bounded time before he sleeps.
 *
 * Two things are learned from. Beside a busy process a yield comes back after a time slice: one that
 * took that long means that nobody in this process yields for a second. And where answers take
 * longer than a wait may last (a distant server, a disk), only every few waits try it again.
 */
#include "patience.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#define LIMIT_NS UINT64_C(120000)     /* of one wait */
#define BUSY_NS  UINT64_C(2000000)    /* a yield of this length: the processors are taken */
#define REST_NS  UINT64_C(1000000000) /* no yields for so long then */
#define MISSES   4u                   /* in a row: waits are likely to be longer than LIMIT_NS */
#define RETRY    32u                  /* then one wait in so many tries */

static _Atomic uint64_t rest_until_ns;

static uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now))
        return 0;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static bool may_begin(idem__patience *own)
{
    uint32_t misses = atomic_load_explicit(&own->misses, memory_order_relaxed);
    if (misses < MISSES)
        return true;
    atomic_store_explicit(&own->misses, misses + 1, memory_order_relaxed);
    return (misses - MISSES) % RETRY == RETRY - 1;
}

bool idem__patience_yield(idem__patience *own, uint64_t *until_ns)
{
    uint64_t before_ns = now_ns();
    if (*until_ns == 0) {
        if (before_ns < atomic_load_explicit(&rest_until_ns, memory_order_relaxed) ||
            !may_begin(own))
            *until_ns = 1;
        else
            *until_ns = before_ns + LIMIT_NS;
    }
    if (before_ns >= *until_ns) {
        if (*until_ns > 1)
            (void)atomic_fetch_add_explicit(&own->misses, 1, memory_order_relaxed);
        return false;
    }
    (void)sched_yield();
    uint64_t after_ns = now_ns();
    if (after_ns - before_ns > BUSY_NS) {
        atomic_store_explicit(&rest_until_ns, after_ns + REST_NS, memory_order_relaxed);
        *until_ns = 1;
    }
    return true;
}

void idem__patience_reward(idem__patience *own)
{
    if (atomic_load_explicit(&own->misses, memory_order_relaxed) != 0)
        atomic_store_explicit(&own->misses, 0, memory_order_relaxed);
}
