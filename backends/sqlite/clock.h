/* SPDX-License-Identifier: MIT */
/* The clock that rows are dated by. */
#ifndef IDEM_SQLITE_CLOCK_H
#define IDEM_SQLITE_CLOCK_H

#include "instance.h"

typedef struct {
    int64_t boot_id; /**< which boot boot_ms counts from; 0: not known */
    int64_t boot_ms;
    int64_t wall_ms;
} idem__sqlite_now;

/** What the boot clock of this process counts from. */
int64_t idem__sqlite_clock_boot_id(const idem_config *config);

/** The time. */
idem__sqlite_now idem__sqlite_clock_now(const idem__sqlite *self);

/** Binds the time to a statement. @return as SQLite */
int idem__sqlite_clock_bind(sqlite3_stmt *statement, const idem__sqlite_now *now);

#endif
