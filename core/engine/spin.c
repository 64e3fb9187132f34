/* SPDX-License-Identifier: MIT */
/*
 * Waiting without sleeping. To fall asleep and be woken costs some 20 microseconds, as much as a
 * round trip to a server on the same machine; to give the processor away and look again costs less
 * than one. So a thread that expects an answer soon yields for a bounded time before it sleeps.
 *
 * A wait has a time, but also a least number of yields: among many callers each gives way to
 * others, which do in that time what they would have to do anyway.
 *
 * With one processor nobody waits awake, as in Go's and Java's runtimes: what is waited for can't
 * go on meanwhile, and where the kernel shares processors out among sessions first, a yield gives
 * way to one's own only.
 *
 * Two things are learned. Beside a busy process a yield may come back after a time slice: one
 * longer than BUSY_NS counts as lost. If lost yields exceed a share of the time, this process stops
 * yielding for REST_TIMES the length of the last one. Where spins mostly fail (a distant server, a
 * disk), only one wait in RETRY spins.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity() */
#endif
#include "spin.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_NS    UINT64_C(120000)   /* of one wait */
#define YIELDS_MIN  16u                /* in one wait, however long they take */
#define BUSY_NS     UINT64_C(1000000)  /* a longer yield is lost: others had the processors */
#define LOST_TIMES  UINT64_C(5)        /* a fifth of the time may be lost, */
#define LOST_MAX_NS UINT64_C(50000000) /* and so much at once */
#define REST_TIMES  UINT64_C(250)      /* no yields for so many times the length of the last one */
#define REST_MAX_NS UINT64_C(1000000000)
#define MISSES      4u  /* in a row: waits are likely to be longer than LIMIT_NS */
#define RETRY       32u /* then one wait in so many tries */

#define ASK_NS UINT64_C(1000000000) /* how long the number of processors is taken for true */

/* idem__spin.until_ns: not begun, or over. */
#define NOT_BEGUN 0u
#define OVER      IDEM__SPIN_OVER

static uint64_t read_clock_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now))
        return 0;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void yield_processor(void)
{
    (void)sched_yield();
}

/* A thread that was tied to a processor alone does not count: the others' are free. */
static bool is_tied_to_one(void)
{
#ifdef CPU_COUNT
    cpu_set_t allowed;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) == 0)
        return CPU_COUNT(&allowed) == 1;
#endif
    return sysconf(_SC_NPROCESSORS_ONLN) == 1;
}

static idem__spin_world this_process = {
    .now_ns = read_clock_ns, .give_way = yield_processor, .has_one_processor = is_tied_to_one};

static bool is_resting(const idem__spin_world *world, uint64_t now_ns)
{
    return now_ns < atomic_load_explicit(&world->rest_until_ns, memory_order_relaxed);
}

static bool has_one_processor(idem__spin_world *world, uint64_t now_ns)
{
    if (now_ns >= atomic_load_explicit(&world->asked_until_ns, memory_order_relaxed)) {
        atomic_store_explicit(&world->one_processor, world->has_one_processor(),
                              memory_order_relaxed);
        atomic_store_explicit(&world->asked_until_ns, now_ns + ASK_NS, memory_order_relaxed);
    }
    return atomic_load_explicit(&world->one_processor, memory_order_relaxed);
}

/* Takes in a yield that was lost. The debt is kept as the time when it is paid off; that one of
   several threads' is forgotten does no harm. */
static void lose(idem__spin_world *world, uint64_t took_ns, uint64_t now_ns)
{
    uint64_t paid_ns = atomic_load_explicit(&world->debt_paid_ns, memory_order_relaxed);
    uint64_t lost_ns = took_ns < REST_MAX_NS ? took_ns : REST_MAX_NS;
    paid_ns = (paid_ns > now_ns ? paid_ns : now_ns) + lost_ns * LOST_TIMES;
    bool too_much = paid_ns - now_ns > LOST_MAX_NS * LOST_TIMES;
    atomic_store_explicit(&world->debt_paid_ns, too_much ? now_ns : paid_ns, memory_order_relaxed);
    if (!too_much)
        return;
    uint64_t rest_ns = took_ns < REST_MAX_NS / REST_TIMES ? took_ns * REST_TIMES : REST_MAX_NS;
    atomic_store_explicit(&world->rest_until_ns, now_ns + rest_ns, memory_order_relaxed);
}

/* Gives way once. @return false: it took so long that it was lost */
static bool give_way(idem__spin_world *world, uint64_t before_ns)
{
    world->give_way();
    uint64_t now_ns = world->now_ns();
    uint64_t took_ns = now_ns > before_ns ? now_ns - before_ns : 0;
    if (took_ns <= BUSY_NS)
        return true;
    lose(world, took_ns, now_ns);
    return false;
}

static bool may_begin(idem__spin_world *world, idem__spin *spin, uint64_t now_ns)
{
    if (is_resting(world, now_ns) || has_one_processor(world, now_ns))
        return false;
    if (spin->failed_spins < MISSES)
        return true;
    spin->failed_spins++;
    return (spin->failed_spins - MISSES) % RETRY == 0;
}

static void begin_in(idem__spin_world *world, idem__spin *spin, uint64_t now_ns)
{
    spin->until_ns = may_begin(world, spin, now_ns) ? now_ns + LIMIT_NS + spin->longer_ns : OVER;
    spin->yields = 0;
}

bool idem__spin_yield_in(idem__spin_world *world, idem__spin *spin)
{
    if (spin->until_ns == OVER)
        return false;
    uint64_t now_ns = world->now_ns();
    if (spin->until_ns == NOT_BEGUN) {
        begin_in(world, spin, now_ns);
    } else if (now_ns >= spin->until_ns && spin->yields >= YIELDS_MIN) {
        spin->until_ns = OVER;
        if (spin->failed_spins < MISSES)
            spin->failed_spins++;
    }
    if (spin->until_ns == OVER)
        return false;
    spin->yields++;
    if (!give_way(world, now_ns))
        spin->until_ns = OVER;
    return true;
}

bool idem__spin_yield(idem__spin *spin)
{
    return spin && idem__spin_yield_in(&this_process, spin);
}

void idem__spin_end(idem__spin *spin)
{
    if (!spin)
        return;
    if (spin->until_ns > OVER)
        spin->failed_spins = 0;
    spin->until_ns = NOT_BEGUN;
}

void idem__spin_pause_in(idem__spin_world *world)
{
    uint64_t now_ns = world->now_ns();
    if (!is_resting(world, now_ns))
        (void)give_way(world, now_ns);
}

void idem__spin_pause(void)
{
    idem__spin_pause_in(&this_process);
}
