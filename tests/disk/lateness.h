/* SPDX-License-Identifier: MIT */
/* How late the machine itself is: a thread that sleeps a little, again and again, and keeps by how
   much it was woken too late. */
#ifndef IDEM_TESTS_DISK_LATENESS_H
#define IDEM_TESTS_DISK_LATENESS_H

#include <stdint.h>

/** Starts the thread, once in a process. */
void lateness_start(void);

/** The sum of what it was late by since this was last called, in milliseconds. */
uint64_t lateness_take(void);

#endif
