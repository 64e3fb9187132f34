/* SPDX-License-Identifier: MIT */
/* Waiting for a short while without sleeping. */
#ifndef IDEM_CORE_PATIENCE_H
#define IDEM_CORE_PATIENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** What waits at one place have taught. All zero at first. */
typedef struct {
    atomic_uint misses; /* waits in a row that were too long */
} idem__patience;

/** Gives the processor away for a moment. @param until_ns  0 when a wait begins.
 *  @return false: sleep now */
bool idem__patience_yield(idem__patience *own, uint64_t *until_ns);

/** A wait has ended in time. */
void idem__patience_reward(idem__patience *own);

#endif
