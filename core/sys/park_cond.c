/* SPDX-License-Identifier: MIT */
/* Parking a thread by a condition variable, where no semaphore waits for the monotonic clock. */
#include "park.h"

#ifndef IDEM__PARKER_SEMAPHORE

#include "clock.h"

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

bool idem__park(idem__parker *parker, uint64_t deadline_ms)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&parker->mutex);
    while (!parker->woken && in_time)
        in_time = idem__clock_cond_wait(&parker->cond, &parker->mutex, deadline_ms);
    bool woken = parker->woken;
    parker->woken = false;
    (void)pthread_mutex_unlock(&parker->mutex);
    return woken;
}

/* Under the mutex, without which the sleeper does not go. */
void idem__unpark(idem__parker *parker)
{
    (void)pthread_mutex_lock(&parker->mutex);
    parker->woken = true;
    (void)pthread_cond_signal(&parker->cond);
    (void)pthread_mutex_unlock(&parker->mutex);
}

#endif
