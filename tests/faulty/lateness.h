/* SPDX-License-Identifier: MIT */
/* How late the machine is by itself: a thread that sleeps for some milliseconds, over and over, and
   notes by how much it overslept. A test that asserts lateness allows for that. */
#ifndef IDEM_TESTS_FAULTY_LATENESS_H
#define IDEM_TESTS_FAULTY_LATENESS_H

#include <stdint.h>

/** Starts watching, in this process. */
void lateness_watch(void);

/** The most that it overslept since the last call, in milliseconds. */
uint64_t lateness_ms(void);

#endif
