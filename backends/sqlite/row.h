/* SPDX-License-Identifier: MIT */
/* A record as a row, and a row as a record. */
#ifndef IDEM_SQLITE_ROW_H
#define IDEM_SQLITE_ROW_H

#include "clock.h"

/** Binds bytes, which have to stay until the statement is done; none are NULL.
 *  @return as SQLite */
int idem__sqlite_row_bind_bytes(sqlite3_stmt *statement, int parameter, idem_bytes bytes);

/** Binds all of an op's record but its key. @return as SQLite */
int idem__sqlite_row_bind(sqlite3_stmt *statement, const idem_record *record, uint64_t live_ms);

/** The date columns of the current row. The statement's first columns are those of GET. */
idem__sqlite_date idem__sqlite_row_date(sqlite3_stmt *statement);

/** The age of the current row. The statement's first columns are those of GET.
 *  @return false: it is expired, and so absent */
bool idem__sqlite_row_is_live(sqlite3_stmt *statement, const idem__sqlite_now *now,
                              uint64_t *age_ms);

/**
 * Reads the row that GET or GET_ID stands at. The record's bytes are SQLite's, until the statement
 * moves on; its age is left to the caller.
 * @return IDEM_ERR_CORRUPT: a message that names the key; IDEM_ERR_NO_MEMORY
 */
int idem__sqlite_row_read(sqlite3_stmt *statement, idem_record *record, idem_error *error);

#endif
