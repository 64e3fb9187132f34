/* SPDX-License-Identifier: MIT */
/* Writing under a limit of file sizes. */
#ifndef IDEM_SQLITE_FILE_LIMIT_H
#define IDEM_SQLITE_FILE_LIMIT_H

#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>

/** What a thread's signals were before. */
typedef struct {
    bool held;
    sigset_t mask;
} idem__sqlite_file_limit;

/** Keeps a write beyond the limit from ending the process: the write fails, and no signal is left behind.
 *  Costs one look at the limit where there is none. */
void idem__sqlite_file_limit_enter(idem__sqlite_file_limit *limit);
void idem__sqlite_file_limit_leave(const idem__sqlite_file_limit *limit);

/** True if a file of the database has become as large as this process may make it. */
bool idem__sqlite_file_limit_is_reached(sqlite3 *db);

#endif
