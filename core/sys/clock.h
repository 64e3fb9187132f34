/* SPDX-License-Identifier: MIT */
/* Deadlines and waiting, on the monotonic clock. */
#ifndef IDEM_CORE_CLOCK_H
#define IDEM_CORE_CLOCK_H

#include <idem/backend.h>

#include <pthread.h>
#include <time.h>

/** The monotonic clock in nanoseconds, to measure with; 0: it can't be read. */
uint64_t idem__clock_ns(void);

/** The point in idem_monotonic_ms() by which `timeout_ms` are over that began at `now`: `now` may
 *  be nearly a millisecond old, which is not taken from what was asked for. */
uint64_t idem__clock_after(uint64_t now, uint64_t timeout_ms);

/** The same from now. */
uint64_t idem__clock_deadline(uint64_t timeout_ms);

/** Such a point, for the system's calls. */
struct timespec idem__clock_point(uint64_t monotonic_ms);

/** Sleeps until a point in idem_monotonic_ms(), through signals. */
void idem__clock_sleep_until(uint64_t deadline_ms);

/** Makes a condition variable that waits on the monotonic clock. @return 0, or -1 */
int idem__clock_cond_init(pthread_cond_t *cond);

/** Waits until signalled (true, or spuriously true) or until the deadline (false). */
bool idem__clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ms);

#endif
