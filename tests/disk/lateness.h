/* SPDX-License-Identifier: MIT */
/* How late the machine itself is: by how much a thread that sleeps a little, again and again, is woken
   too late, and how long the caller's thread was ready to run and did not. */
#ifndef IDEM_TESTS_DISK_LATENESS_H
#define IDEM_TESTS_DISK_LATENESS_H

#include <stdint.h>

/** Starts the thread, once in a process. */
void lateness_start(void);

/** The sum of both since this thread last called it, in milliseconds. */
uint64_t lateness_take(void);

#endif
