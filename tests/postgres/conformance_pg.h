/* SPDX-License-Identifier: MIT */
/* What the suite's programs on PostgreSQL share: one server, whose table is taken away for each
   test. */
#ifndef IDEM_TESTS_CONFORMANCE_PG_H
#define IDEM_TESTS_CONFORMANCE_PG_H

#include "main.h"
#include "pg.h"

#include <stdio.h>
#include <string.h>

/* It keeps its own time. */
/* A session begins in some milliseconds. */
#define PG_LACKS (IDEM_TRAIT_CLOCK | CONFORMANCE_HASTE)

static pg_server server;

static inline void drop_table(void)
{
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record");
}

static inline void nothing(void)
{
}

/** Puts parameters behind a URL that has some. */
static inline int open_with_params(const char *base, const char *params,
                                   const idem_options *options, idem_store **store,
                                   idem_error *error)
{
    char url[2 * PG_URL_SIZE];
    (void)snprintf(url, sizeof url, "%s%s%s", base, *params ? "&" : "", params);
    return idem_open_with(url, options, store, error);
}

#endif
