/* SPDX-License-Identifier: MIT */
/*
 * Parking a thread by a semaphore. A condition variable also needs a mutex, which the waker often
 * still holds when the sleeper wakes: with sixty callers that was every third system call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sem_clockwait(), before glibc takes it for POSIX' own */
#endif
#include "park.h"

#ifdef IDEM__PARKER_SEMAPHORE

#include "clock.h"

#include <errno.h>
#include <time.h>

bool idem__parker_init(idem__parker *parker)
{
    return sem_init(&parker->wakes, 0, 0) == 0;
}

void idem__parker_destroy(idem__parker *parker)
{
    (void)sem_destroy(&parker->wakes);
}

/* @return 0, or an errno */
static int take_wake(sem_t *wakes, uint64_t deadline_ms)
{
    struct timespec until = idem__clock_point(deadline_ms);
    int failed =
        deadline_ms == UINT64_MAX ? sem_wait(wakes) : sem_clockwait(wakes, CLOCK_MONOTONIC, &until);
    return failed ? errno : 0;
}

static bool look(void *what, const struct timespec *until)
{
    sem_t *wakes = what;
    return sem_clockwait(wakes, CLOCK_MONOTONIC, until) == 0;
}

bool idem__park(idem__parker *parker, uint64_t deadline_ms)
{
    int failed;
    bool woken = false;
    while (!woken && idem__clock_wait_by_source(deadline_ms, look, &parker->wakes, &woken)) {
        if (!woken && idem_monotonic_ms() >= deadline_ms)
            return false;
    }
    if (woken)
        return true;
    do
        failed = take_wake(&parker->wakes, deadline_ms);
    while (failed == EINTR);
    return failed == 0;
}

/* The semaphore may be gone as soon as it is posted; glibc does not touch it after that, and only
   wakes at its address. */
void idem__unpark(idem__parker *parker)
{
    (void)sem_post(&parker->wakes);
}

#endif
