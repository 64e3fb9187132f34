/* SPDX-License-Identifier: MIT */
/*
 * The process's heap, made to fail: a program that is linked with heap.c has its allocations go
 * through it, those of SQLite, hiredis, libcrypto and the C library among them.
 */
#ifndef IDEM_TESTS_HEAP_H
#define IDEM_TESTS_HEAP_H

#include <stdint.h>

typedef enum {
    HEAP_ONCE = 1, /* the n-th allocation fails, and those behind it succeed */
    HEAP_FOR_GOOD  /* the n-th and all behind it fail */
} heap_mode;

/** From here on the n-th allocation of this thread fails, counted from 1. */
void heap_arm(uint64_t nth, heap_mode mode);

/** The same, where the allocations of all threads count. */
void heap_arm_all(uint64_t nth, heap_mode mode);

/** Ends it. @return how many allocations failed */
uint64_t heap_disarm(void);

/** How many allocations have failed since heap_arm(). */
uint64_t heap_refused(void);

/** How many blocks are allocated at this moment, by all threads. */
int64_t heap_live(void);

#endif
