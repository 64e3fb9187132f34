/* SPDX-License-Identifier: MIT */
/* The store of a run, by the backend's name, made for it and removed after it. */
#ifndef IDEM_TESTS_PROCESSES_BACKEND_H
#define IDEM_TESTS_PROCESSES_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Starts what is needed. @return false if this build has no such backend */
bool backend_start(const char *name, const char *folder, char *url, size_t size);

/** True if leases are counted by the wall clock, which may be moved during a run. */
bool backend_uses_wall_clock(const char *name);

/** In which the store may lose what it has acknowledged, in microseconds of stamp_us(). */
typedef struct {
    uint64_t from;
    uint64_t to;
} backend_window;

/** Does harm to the store that it has to survive, from time to time: a failover where there are
 *  replicas. @return false: nothing was due */
bool backend_disturb(backend_window *window);

/** Once the workers have ended. @return true if the store may have lost something since the last
 *  window: `window` tells when */
bool backend_close(backend_window *window);

/** Lets the next thing befall the backend, where something does: a primary is killed and its
 *  standby promoted. Called again and again. */
void backend_tend(uint64_t now_us);

/** How often it did. */
unsigned backend_failovers(void);

void backend_stop(void);

#endif
