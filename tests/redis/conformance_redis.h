/* SPDX-License-Identifier: MIT */
/* What the suite's two programs on Redis share: one server, emptied for each test. */
#ifndef IDEM_TESTS_CONFORMANCE_REDIS_H
#define IDEM_TESTS_CONFORMANCE_REDIS_H

#include "main.h"
#include "server.h"

/* It keeps its own time, and drops what has expired by itself. */
#define REDIS_LACKS (IDEM_TRAIT_CLOCK | IDEM_TRAIT_PURGE)

static server redis;

static inline void empty_server(void)
{
    server_do(&redis, "FLUSHALL");
}

#endif
