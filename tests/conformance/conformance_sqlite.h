/* SPDX-License-Identifier: MIT */
/* What the suite's programs on a SQLite file share: a directory of its own for each test. */
#ifndef IDEM_TESTS_CONFORMANCE_SQLITE_H
#define IDEM_TESTS_CONFORMANCE_SQLITE_H

#include "main.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef WRAPPED_BY
#define WRAPPED_BY "" /* what stands in front of the scheme */
#endif

static char sqlite_folder[512];
static char sqlite_url[600];

static inline void sqlite_fresh(void)
{
    static unsigned number;
    char name[64];
    (void)snprintf(name, sizeof name, "sqlite-%ld-%u", (long)getpid(), number++);
    conformance_path(sqlite_folder, sizeof sqlite_folder, name);
    (void)mkdir(sqlite_folder, 0700);
    (void)snprintf(sqlite_url, sizeof sqlite_url, WRAPPED_BY "sqlite://%s/idem.db", sqlite_folder);
}

static inline int sqlite_open(const char *params, const idem_options *options, idem_store **store,
                              idem_error *error)
{
    return conformance_open_url(sqlite_url, params, options, store, error);
}

static inline int sqlite_open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open(WRAPPED_BY "sqlite:///dev/null/no-such-folder/idem.db", store, error);
}

static inline void sqlite_cleanup(void)
{
    conformance_remove(sqlite_folder);
}

#endif
