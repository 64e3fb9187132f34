/* SPDX-License-Identifier: MIT */
/*
 * The system's clocks. Deadlines are points in the monotonic clock; wall time is written into
 * records for people to read and decides nothing.
 *
 * A test may install a time source instead. A wait on it looks again after each LOOK_NS of real
 * time, since nobody else can end it: the source is told of each look, and moves its clock
 * meanwhile or then.
 */
#include "clock.h"

#include "cancel.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define LOOK_NS 200000L

/* The coarse clocks say what the last tick of the system's timer said, a few milliseconds late at
   most, for an eighth of the price: to read the other ones takes as long as the rest of a
   lookup. */
#ifdef CLOCK_REALTIME_COARSE
#define WALL_CLOCK CLOCK_REALTIME_COARSE
#else
#define WALL_CLOCK CLOCK_REALTIME
#endif
#ifdef CLOCK_MONOTONIC_COARSE
#define COARSE_CLOCK CLOCK_MONOTONIC_COARSE
#else
#define COARSE_CLOCK CLOCK_MONOTONIC
#endif

static _Atomic(const idem_time_source *) installed;

/* Where there is none this costs one load that orders nothing. */
static const idem_time_source *source(void)
{
    if (!atomic_load_explicit(&installed, memory_order_relaxed))
        return NULL;
    return atomic_load_explicit(&installed, memory_order_acquire);
}

void idem_time_source_set(const idem_time_source *made)
{
    atomic_store_explicit(&installed, made, memory_order_release);
}

static int64_t read_clock_ms(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now))
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t idem_monotonic_ms(void)
{
    const idem_time_source *made = source();
    return made ? made->monotonic_ms() : (uint64_t)read_clock_ms(CLOCK_MONOTONIC);
}

uint64_t idem_monotonic_coarse_ms(void)
{
    const idem_time_source *made = source();
    return made ? made->monotonic_ms() : (uint64_t)read_clock_ms(COARSE_CLOCK);
}

int64_t idem_wall_ms(void)
{
    const idem_time_source *made = source();
    return made ? made->wall_ms() : read_clock_ms(WALL_CLOCK);
}

uint64_t idem__clock_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now))
        return 0;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t idem__clock_after(uint64_t now, uint64_t timeout_ms)
{
    return now + timeout_ms + 1;
}

uint64_t idem__clock_deadline(uint64_t timeout_ms)
{
    return idem__clock_after(idem_monotonic_ms(), timeout_ms);
}

struct timespec idem__clock_point(uint64_t monotonic_ms)
{
    return (struct timespec){.tv_sec = (time_t)(monotonic_ms / 1000),
                             .tv_nsec = (long)(monotonic_ms % 1000) * 1000000};
}

/* The end of a look, on the system's clock. */
static struct timespec next_look(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += LOOK_NS;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

bool idem__clock_wait_by_source(uint64_t deadline_ms, idem__clock_look look, void *what,
                                bool *woken)
{
    const idem_time_source *made = source();
    *woken = false;
    if (!made)
        return false;
    made->waits(deadline_ms);
    if (deadline_ms == UINT64_MAX || made->monotonic_ms() < deadline_ms) {
        struct timespec until = next_look();
        *woken = look(what, &until);
    }
    made->goes_on(*woken);
    return true;
}

void idem__clock_thread_starts(void)
{
    const idem_time_source *made = source();
    if (made)
        made->thread_starts();
}

static bool look_at_nothing(void *what, const struct timespec *until)
{
    (void)what;
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
    return false;
}

void idem__clock_sleep_until(uint64_t deadline_ms)
{
    struct timespec until = idem__clock_point(deadline_ms);
    int cancel_state = idem__cancel_hold();
    bool woken = false;
    while (source() && idem_monotonic_ms() < deadline_ms)
        (void)idem__clock_wait_by_source(deadline_ms, look_at_nothing, NULL, &woken);
    while (!source() && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
    idem__cancel_restore(cancel_state);
}

int idem__clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes))
        return -1;
    int failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) ||
                 pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return failed ? -1 : 0;
}

typedef struct {
    pthread_cond_t *cond;
    pthread_mutex_t *mutex;
} condition;

static bool look_at_condition(void *what, const struct timespec *until)
{
    const condition *at = what;
    return pthread_cond_timedwait(at->cond, at->mutex, until) != ETIMEDOUT;
}

/* By a source it comes back after each look: a signal that came between two of them found nobody
   waiting, so the caller has to look at what it waits for. */
bool idem__clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ms)
{
    condition at = {cond, mutex};
    bool woken = false;
    if (idem__clock_wait_by_source(deadline_ms, look_at_condition, &at, &woken))
        return woken || idem_monotonic_ms() < deadline_ms;
    if (deadline_ms == UINT64_MAX)
        return pthread_cond_wait(cond, mutex) == 0;
    struct timespec until = idem__clock_point(deadline_ms);
    return look_at_condition(&at, &until);
}
