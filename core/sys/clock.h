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

/** Waits up to a point of the system's own monotonic clock. @return true: woken before */
typedef bool (*idem__clock_look)(void *what, const struct timespec *until);

/** Where a test has installed a time source: one look of a wait until a point of its clock
 *  (UINT64_MAX: none).
 *  @param[out] woken  what the look gave; false if the point has come
 *  @return false: there is no source, and nothing was done */
bool idem__clock_wait_by_source(uint64_t deadline_ms, idem__clock_look look, void *what,
                                bool *woken);

/** Tells the time source, if there is one, that a thread of the library's own is about to start. */
void idem__clock_thread_starts(void);

/** Makes a condition variable that waits on the monotonic clock. @return 0, or -1 */
int idem__clock_cond_init(pthread_cond_t *cond);

/** Waits until signalled (true, or spuriously true) or until the deadline (false; UINT64_MAX:
 *  none). */
bool idem__clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ms);

#endif
