/* SPDX-License-Identifier: MIT */
/* The one clock of a run. All of its processes are on one machine, so their stamps can be compared:
   microseconds since boot, by the clock that SQLite's leases are judged by. */
#ifndef IDEM_TESTS_STAMP_H
#define IDEM_TESTS_STAMP_H

#include <stdint.h>
#include <time.h>

#ifdef CLOCK_BOOTTIME
#define STAMP_CLOCK CLOCK_BOOTTIME
#else
#define STAMP_CLOCK CLOCK_MONOTONIC
#endif

static inline uint64_t stamp_of(clockid_t clock)
{
    struct timespec time = {0, 0};
    (void)clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000u;
}

static inline uint64_t stamp_us(void)
{
    return stamp_of(STAMP_CLOCK);
}

static inline void stamp_pause_us(uint64_t us)
{
    struct timespec pause = {.tv_sec = (time_t)(us / 1000000u),
                             .tv_nsec = (long)(us % 1000000u) * 1000};
    (void)nanosleep(&pause, NULL);
}

#endif
