/* SPDX-License-Identifier: MIT */
/*
 * A place where one thread sleeps until another wakes it; the wake may come before the sleep. It
 * may be on the sleeper's stack: the waker does not touch it any more once the sleeper can
 * continue.
 */
#ifndef IDEM_CORE_PARK_H
#define IDEM_CORE_PARK_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

/* A semaphore needs one system call to wake and one to sleep. It must support the monotonic clock,
   which POSIX requires since 2024. */
#if defined(__GLIBC__) && !defined(IDEM__PARKER_PORTABLE)
#if __GLIBC_PREREQ(2, 30)
#define IDEM__PARKER_SEMAPHORE 1
#endif
#endif

typedef struct {
#ifdef IDEM__PARKER_SEMAPHORE
    sem_t wakes;
#else
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
#endif
} idem__parker;

/** @return false: there is no memory for it */
bool idem__parker_init(idem__parker *parker);
void idem__parker_destroy(idem__parker *parker);

/** Sleeps until a wake that no sleep has consumed. No cancellation point while that is held off.
 *  @param deadline_ms  UINT64_MAX: none
 *  @return false: the deadline has come first */
bool idem__park(idem__parker *parker, uint64_t deadline_ms);

/** Wakes the sleeper, and touches the place for the last time. Never called twice for one sleep. */
void idem__unpark(idem__parker *parker);

#endif
