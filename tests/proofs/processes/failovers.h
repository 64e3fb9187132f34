/* SPDX-License-Identifier: MIT */
/* Sets of Redis servers in which replicas take over: behind sentinels, or in a cluster. */
#ifndef IDEM_TESTS_PROCESSES_FAILOVERS_H
#define IDEM_TESTS_PROCESSES_FAILOVERS_H

#include "backend.h"

/** @param name  sentinel or cluster. @return false if it is neither */
bool failovers_start(const char *name, char *url, size_t size);

/** Makes a failover now and then, by command or by a stop that lasts too long; moves slots of a
 *  cluster; looks for failovers that nobody ordered. As backend_disturb(). */
bool failovers_disturb(backend_window *window);

/** A last look, when nobody uses the servers any more. */
bool failovers_close(backend_window *window);

/** How many there were, ordered or not. */
unsigned failovers_count(void);

void failovers_stop(void);

#endif
