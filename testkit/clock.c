/* SPDX-License-Identifier: MIT */
/*
 * The virtual clock. It moves in steps, from one point that a thread of the library waits for to
 * the next, and before each step every thread that has used it comes to rest.
 *
 * A thread is at rest when it waits for a later point and has looked at what it waits for since the
 * last step or round: it may have been woken without having run yet. Two rounds of looks are made,
 * since the one that was woken may wake another. A thread of the test that has not touched the
 * clock for BUSY_MS of real time is somewhere else, and is not waited for. A thread of the library,
 * and one that waits in it, come back: only one that is held up, by a lock or a server, takes
 * LOST_MS.
 *
 * `lock` guards everything but the present, which is read without it. Nothing else is called under
 * it.
 */
#include "clock.h"

#include <idem/testkit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define BUSY_MS  100u
#define LOST_MS  1000u
#define ROUNDS   2u
#define PAUSE_NS 200000L

/* A thread that has used the clock. It lives in the thread's own storage. */
typedef struct thread {
    struct thread *next;
    bool known;
    bool waiting;
    bool of_library;
    uint64_t until_ms;
    uint64_t round;     /* in which it looked last */
    uint64_t active_ms; /* by the system's clock */
} thread;

static _Thread_local thread self;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t ends;
static _Atomic bool running;
static _Atomic uint64_t present_ms;
static uint64_t origin_ms;
static int64_t origin_wall_ms;
static bool automatic;
static thread *threads;
static unsigned starting; /* threads of the library that have not come here yet */
static uint64_t starting_ms;
static uint64_t round_now;
static unsigned rounds_done;

static uint64_t real_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ----------------------------------------------------------------------------------- threads */

static void enter(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void leave(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void forget(void *ending)
{
    enter();
    thread **at = &threads;
    while (*at && *at != ending)
        at = &(*at)->next;
    if (*at)
        *at = (*at)->next;
    leave();
}

/* The child of a fork() has one thread. */
static void leave_in_child(void)
{
    threads = self.known ? &self : NULL;
    self.next = NULL;
    starting = 0;
    leave();
}

static void set_up(void)
{
    (void)pthread_key_create(&ends, forget);
    (void)pthread_atfork(enter, leave, leave_in_child);
}

/* Lock held. */
static void be_known(void)
{
    if (!self.known) {
        (void)pthread_setspecific(ends, &self);
        self.known = true;
        self.of_library = starting > 0;
        self.next = threads;
        threads = &self;
        starting -= starting > 0;
    }
    self.active_ms = real_ms();
}

/* -------------------------------------------------------------------------------------- rest */

static bool is_at_rest(const thread *it, uint64_t now_ms, uint64_t real)
{
    uint64_t patience_ms = it->waiting || it->of_library ? LOST_MS : BUSY_MS;
    if (it == &self || real - it->active_ms > patience_ms)
        return true;
    return it->waiting && it->round == round_now && it->until_ms > now_ms;
}

static bool is_alone(void)
{
    return threads == &self && !self.next && starting == 0;
}

/* Ends a round if every other thread is at rest. @return true: they have been for two rounds. Lock
   held. */
static bool all_rest(void)
{
    uint64_t real = real_ms();
    uint64_t now_ms = atomic_load(&present_ms);
    if (is_alone())
        return true;
    if (starting > 0 && real - starting_ms <= LOST_MS)
        return false;
    for (const thread *it = threads; it; it = it->next) {
        if (!is_at_rest(it, now_ms, real))
            return false;
    }
    self.round = ++round_now;
    return ++rounds_done >= ROUNDS;
}

/* The first point after the present that a thread waits for; UINT64_MAX: none. Lock held. */
static uint64_t next_point(void)
{
    uint64_t now_ms = atomic_load(&present_ms);
    uint64_t next_ms = UINT64_MAX;
    for (const thread *it = threads; it; it = it->next) {
        if (it->waiting && it->until_ms > now_ms && it->until_ms < next_ms)
            next_ms = it->until_ms;
    }
    return next_ms;
}

/* Lock held. */
static void step_to(uint64_t point_ms)
{
    atomic_store(&present_ms, point_ms);
    rounds_done = 0;
    self.round = ++round_now;
}

/* ------------------------------------------------------------------------ the library's side */

static uint64_t read_monotonic(void)
{
    enter();
    be_known();
    leave();
    return atomic_load(&present_ms);
}

static int64_t read_wall(void)
{
    return origin_wall_ms + (int64_t)(atomic_load(&present_ms) - origin_ms);
}

static void waits(uint64_t until_ms)
{
    enter();
    be_known();
    if (!self.waiting || self.until_ms != until_ms)
        self.until_ms = until_ms;
    self.waiting = true;
    self.round = round_now;
    if (automatic && all_rest()) {
        uint64_t next_ms = next_point();
        if (next_ms != UINT64_MAX && until_ms > atomic_load(&present_ms))
            step_to(next_ms);
    }
    leave();
}

static void goes_on(bool woken)
{
    enter();
    be_known();
    self.waiting = false;
    if (woken)
        rounds_done = 0;
    leave();
}

static void thread_starts(void)
{
    enter();
    starting++;
    starting_ms = real_ms();
    leave();
}

static const idem_time_source source = {
    .size = sizeof source,
    .monotonic_ms = read_monotonic,
    .wall_ms = read_wall,
    .waits = waits,
    .goes_on = goes_on,
    .thread_starts = thread_starts,
};

/* --------------------------------------------------------------------------- the test's side */

void idem_testkit_clock_start(uint64_t flags)
{
    (void)pthread_once(&once, set_up);
    bool again = atomic_load(&running);
    if (!again)
        idem_time_source_set(NULL);
    uint64_t now_ms = real_ms();
    int64_t wall_ms = idem_wall_ms();
    enter();
    automatic = (flags & IDEM_TESTKIT_CLOCK_AUTO) != 0;
    if (!again) {
        origin_ms = now_ms;
        origin_wall_ms = wall_ms;
        atomic_store(&present_ms, now_ms);
        starting = 0;
        rounds_done = 0;
        atomic_store(&running, true);
    }
    leave();
    idem_time_source_set(&source);
}

void idem_testkit_clock_stop(void)
{
    idem_time_source_set(NULL);
    atomic_store(&running, false);
}

/* One step at most. @return true: the clock says `target_ms`, and all threads are at rest */
static bool go_on(uint64_t target_ms)
{
    enter();
    be_known();
    self.waiting = false;
    bool rest = all_rest();
    bool there = rest && atomic_load(&present_ms) >= target_ms;
    if (rest && !there) {
        uint64_t next_ms = next_point();
        step_to(next_ms < target_ms ? next_ms : target_ms);
    }
    leave();
    return there;
}

static void go_to(uint64_t target_ms)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    while (!go_on(target_ms)) {
        enter();
        bool alone = is_alone();
        leave();
        if (!alone)
            (void)nanosleep(&pause, NULL);
    }
}

void idem_testkit_clock_advance(uint64_t ms)
{
    if (!atomic_load(&running))
        return;
    enter();
    rounds_done = 0; /* what the test did just now may have woken a thread */
    round_now++;
    leave();
    go_to(atomic_load(&present_ms) + (ms < IDEM_DURATION_MAX_MS ? ms : IDEM_DURATION_MAX_MS));
}

static uint64_t read_clock(void *user)
{
    (void)user;
    return idem_monotonic_ms();
}

idem_clock idem_testkit_clock(void)
{
    return (idem_clock){.now_ms = read_clock};
}

/* A store that takes its time takes the test's, not the machine's. */
void idem__testkit_sleep_until(uint64_t point_ms)
{
    if (atomic_load(&running)) {
        uint64_t now_ms = atomic_load(&present_ms);
        if (point_ms > now_ms)
            go_to(point_ms);
        return;
    }
    for (uint64_t now_ms = idem_monotonic_ms(); now_ms < point_ms; now_ms = idem_monotonic_ms()) {
        uint64_t left_ms = point_ms - now_ms;
        struct timespec pause = {.tv_sec = (time_t)(left_ms / 1000),
                                 .tv_nsec = (long)(left_ms % 1000) * 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

bool idem__testkit_clock_runs(void)
{
    return atomic_load(&running);
}
