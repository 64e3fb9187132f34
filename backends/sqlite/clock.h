/* SPDX-License-Identifier: MIT */
/* The clock that rows are dated by. */
#ifndef IDEM_SQLITE_CLOCK_H
#define IDEM_SQLITE_CLOCK_H

#include "instance.h"

typedef struct {
    int64_t boot_id; /**< which boot boot_ms counts from; 0: not known */
    int64_t boot_ms;
    int64_t wall_ms;
    int64_t since_ms; /**< when this boot began, by the wall clock; not known: wall_ms */
} idem__sqlite_now;

/** What a row is dated by. */
typedef struct {
    int64_t boot_id;
    int64_t boot_ms;
    int64_t wall_ms;
} idem__sqlite_date;

/** Reads what the boot clock of this process counts from, for all that follows. */
void idem__sqlite_clock_read(idem__sqlite *self);

/** The time. */
idem__sqlite_now idem__sqlite_clock_now(const idem__sqlite *self);

/** Binds the time to a statement. @return as SQLite */
int idem__sqlite_clock_bind(sqlite3_stmt *statement, const idem__sqlite_now *now);

/** The age of what bears a date, as EXPIRED in statements.c has it. */
uint64_t idem__sqlite_clock_age(const idem__sqlite_now *now, const idem__sqlite_date *date);

/** True if no clock of ours says how old it is: another machine dated it, or a wall clock that was
 *  ahead. Its age is 0 until it is dated anew. */
bool idem__sqlite_clock_is_stray(const idem__sqlite_now *now, const idem__sqlite_date *date);

/** How long a record with a stray date has been known to this instance. */
uint64_t idem__sqlite_clock_known_ms(idem__sqlite *self, uint64_t version);

/** Reports records that another clock dates while this machine is up. */
int idem__sqlite_clock_report(idem__sqlite *self, idem_finding_fn emit, void *emit_user,
                              idem__sqlite_fault *fault);

#endif
