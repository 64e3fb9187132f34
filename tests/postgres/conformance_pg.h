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

#endif
