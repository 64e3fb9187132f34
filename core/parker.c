/* SPDX-License-Identifier: MIT */
/*
 * Parking a thread. By a condition variable it takes a mutex as well, which the sleeper meets while its waker still
 * holds it: with sixty callers that was every third system call. So it is done with a semaphore where there is
 * one for the monotonic clock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sem_clockwait(), before glibc takes it for POSIX' own */
#endif
#include "parker.h"

#include "clock.h"

#include <errno.h>
#include <time.h>

#ifdef IDEM__PARKER_SEMAPHORE

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

bool idem__parker_sleep(idem__parker *parker, uint64_t deadline_ms)
{
    int failed;
    do
        failed = take_wake(&parker->wakes, deadline_ms);
    while (failed == EINTR);
    return failed == 0;
}

/* The semaphore may be gone as soon as it was posted, and glibc touches it no more: what follows is a wake at its
   address. */
void idem__parker_wake(idem__parker *parker)
{
    (void)sem_post(&parker->wakes);
}

#else

bool idem__parker_init(idem__parker *parker)
{
    parker->woken = false;
    if (pthread_mutex_init(&parker->mutex, NULL))
        return false;
    if (idem__clock_cond_init(&parker->cond) == 0)
        return true;
    (void)pthread_mutex_destroy(&parker->mutex);
    return false;
}

void idem__parker_destroy(idem__parker *parker)
{
    (void)pthread_cond_destroy(&parker->cond);
    (void)pthread_mutex_destroy(&parker->mutex);
}

bool idem__parker_sleep(idem__parker *parker, uint64_t deadline_ms)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&parker->mutex);
    while (!parker->woken && in_time) {
        if (deadline_ms == UINT64_MAX)
            (void)pthread_cond_wait(&parker->cond, &parker->mutex);
        else
            in_time = idem__clock_cond_wait(&parker->cond, &parker->mutex, deadline_ms);
    }
    bool woken = parker->woken;
    parker->woken = false;
    (void)pthread_mutex_unlock(&parker->mutex);
    return woken;
}

/* Under the mutex, without which the sleeper does not go. */
void idem__parker_wake(idem__parker *parker)
{
    (void)pthread_mutex_lock(&parker->mutex);
    parker->woken = true;
    (void)pthread_cond_signal(&parker->cond);
    (void)pthread_mutex_unlock(&parker->mutex);
}

#endif
