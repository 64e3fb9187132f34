/* SPDX-License-Identifier: MIT */
/* How late this machine is: where a test says when a call has to end, it allows for it. */
#ifndef IDEM_TESTS_LATENESS_H
#define IDEM_TESTS_LATENESS_H

#include <stdint.h>

/** How much later than its deadline a call may end on a machine that is never late. */
#define SLACK_MS UINT64_C(100)

/** Starts the thread that measures, by sleeping and looking at how long it was; once a process. */
void lateness_watch(void);

/** The most that the thread was late since a moment of idem_monotonic_ms(), up to now. */
uint64_t lateness_since(uint64_t began_ms);

#endif
