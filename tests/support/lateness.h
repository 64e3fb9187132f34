/* SPDX-License-Identifier: MIT */
/* How late this machine is: where a test says when a call has to end, it allows for it. */
#ifndef IDEM_TESTS_LATENESS_H
#define IDEM_TESTS_LATENESS_H

#include "sanitized.h"

#include <stdint.h>

/** How much later than its deadline a call may end on a machine that is never late. Instrumented
 *  code is several times slower: there the machine's lateness is not all that is late. */
#if ADDRESS_SANITIZED || THREAD_SANITIZED
#define SLACK_MS UINT64_C(500)
#else
#define SLACK_MS UINT64_C(100)
#endif

/** Starts the thread that measures, by sleeping and looking at how long it was, unless this process
 *  has one. */
void lateness_watch(void);

/** By how much the thread was late since a moment of idem_monotonic_ms(), all in all up to now. */
uint64_t lateness_since(uint64_t began_ms);

/** How long the calling thread was ready to run and had no processor, in all, in milliseconds. Linux
 *  tells; elsewhere it is 0. */
uint64_t lateness_queued_ms(void);

#endif
