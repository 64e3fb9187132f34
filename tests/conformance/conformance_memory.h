/* SPDX-License-Identifier: MIT */
/* What the suite's programs on memory share: memory://NAME, shared by the handles of one process.
   */
#ifndef IDEM_TESTS_CONFORMANCE_MEMORY_H
#define IDEM_TESTS_CONFORMANCE_MEMORY_H

#include "main.h"

#include <stdio.h>

#ifndef WRAPPED_BY
#define WRAPPED_BY "" /* what stands in front of the scheme */
#endif

/* It keeps no file, has no other processes, and is always there. */
#define MEMORY_LACKS (IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | CONFORMANCE_UNREACHABLE)

static char memory_url[64];

static inline void memory_fresh(void)
{
    static unsigned number;
    (void)snprintf(memory_url, sizeof memory_url, WRAPPED_BY "memory://conformance-%u", number++);
}

static inline int memory_open(const char *params, const idem_options *options, idem_store **store,
                              idem_error *error)
{
    return conformance_open_url(memory_url, params, options, store, error);
}

static inline void memory_cleanup(void)
{
    /* a named store ends with its last handle */
}

#endif
