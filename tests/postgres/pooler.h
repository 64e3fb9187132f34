/* SPDX-License-Identifier: MIT */
/* A pgbouncer of the test's own, in front of a server of the test's own. */
#ifndef IDEM_TESTS_POOLER_H
#define IDEM_TESTS_POOLER_H

#include "pg.h"

/** Leaves the program if there is no pgbouncer, as pg_require() does. */
void pooler_require(void);

/** Starts it. @param mode  `transaction` or `session` @param[out] url  where it listens */
void pooler_start(const pg_server *server, const char *mode, char *url, size_t size);

/** Stops it. */
void pooler_stop(void);

#endif
