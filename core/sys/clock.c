/* SPDX-License-Identifier: MIT */
/*
 * The system's clocks. Deadlines are points in the monotonic clock; wall time is written into
 * records for people to read and decides nothing.
 */
#include "clock.h"

#include "cancel.h"

#include <errno.h>
#include <time.h>

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

static int64_t read_clock_ms(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now))
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t idem_monotonic_ms(void)
{
    return (uint64_t)read_clock_ms(CLOCK_MONOTONIC);
}

uint64_t idem_monotonic_coarse_ms(void)
{
    return (uint64_t)read_clock_ms(COARSE_CLOCK);
}

int64_t idem_wall_ms(void)
{
    return read_clock_ms(WALL_CLOCK);
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

void idem__clock_sleep_until(uint64_t deadline_ms)
{
    struct timespec until = idem__clock_point(deadline_ms);
    int cancel_state = idem__cancel_hold();
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
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

bool idem__clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ms)
{
    struct timespec until = idem__clock_point(deadline_ms);
    if (deadline_ms == UINT64_MAX)
        return pthread_cond_wait(cond, mutex) == 0;
    return pthread_cond_timedwait(cond, mutex, &until) != ETIMEDOUT;
}
