/* SPDX-License-Identifier: MIT */
/* The SQL, each text prepared once per connection. */
#ifndef IDEM_SQLITE_STATEMENTS_H
#define IDEM_SQLITE_STATEMENTS_H

#include "fault.h"

#include <sqlite3.h>

typedef enum {
    IDEM__SQLITE_BEGIN_READ,
    IDEM__SQLITE_BEGIN_WRITE,
    IDEM__SQLITE_COMMIT,
    IDEM__SQLITE_ROLLBACK,
    IDEM__SQLITE_SAVEPOINT,
    IDEM__SQLITE_RELEASE,
    IDEM__SQLITE_ROLLBACK_TO,
    IDEM__SQLITE_GET,          /**< the row of a key, expired or not */
    IDEM__SQLITE_GET_ID,       /**< a row, expired or not */
    IDEM__SQLITE_INSERT,       /**< a record where none is live */
    IDEM__SQLITE_REPLACE,      /**< a record over the live one of a version */
    IDEM__SQLITE_REMOVE,       /**< the live record of a version, or of any */
    IDEM__SQLITE_LOOK,         /**< row by row: what its life is judged by, its id and size */
    IDEM__SQLITE_LIST,         /**< row by row: the same but for the size, and its key */
    IDEM__SQLITE_LAST,         /**< the largest id */
    IDEM__SQLITE_DROP,         /**< an expired row */
    IDEM__SQLITE_DATE,         /**< dates the row of a key anew, if it is a stray */
    IDEM__SQLITE_DATE_RANGE,   /**< the strays behind KEY, up to EXPECTED */
    IDEM__SQLITE_COUNT_STRAYS, /**< their number */
    IDEM__SQLITE_STATEMENTS
} idem__sqlite_sql;

/* What the statements' parameters are called by number. KEY is an id in LOOK, LIST, DROP and
   GET_ID. */
enum {
    IDEM__SQLITE_P_KEY = 1,
    IDEM__SQLITE_P_PREFIX,
    IDEM__SQLITE_P_BOOT_ID = 2,
    IDEM__SQLITE_P_BOOT_MS,
    IDEM__SQLITE_P_WALL_MS,
    IDEM__SQLITE_P_EXPECTED = 5,
    IDEM__SQLITE_P_ANY = 6,
    IDEM__SQLITE_P_VERSION = 6,
    IDEM__SQLITE_P_STATUS,
    IDEM__SQLITE_P_ATTEMPT,
    IDEM__SQLITE_P_TOKEN,
    IDEM__SQLITE_P_LEASE_MS,
    IDEM__SQLITE_P_TTL_MS,
    IDEM__SQLITE_P_LIVE_MS,
    IDEM__SQLITE_P_CREATED_AT_MS,
    IDEM__SQLITE_P_UPDATED_AT_MS,
    IDEM__SQLITE_P_FINGERPRINT,
    IDEM__SQLITE_P_RESPONSE,
    IDEM__SQLITE_P_CHECKPOINT,
    IDEM__SQLITE_P_SINCE_MS
};

/* The columns of GET and GET_ID, in their order; LOOK and LIST begin with the same four. */
enum {
    IDEM__SQLITE_C_LIVE_MS,
    IDEM__SQLITE_C_AT_BOOT_ID,
    IDEM__SQLITE_C_AT_BOOT_MS,
    IDEM__SQLITE_C_AT_WALL_MS,
    IDEM__SQLITE_C_KEY,
    IDEM__SQLITE_C_ID = IDEM__SQLITE_C_KEY,
    IDEM__SQLITE_C_VERSION,
    IDEM__SQLITE_C_SIZE = IDEM__SQLITE_C_VERSION,
    IDEM__SQLITE_C_HAS_PREFIX = IDEM__SQLITE_C_VERSION,
    IDEM__SQLITE_C_STATUS,
    IDEM__SQLITE_C_LISTED_KEY = IDEM__SQLITE_C_STATUS,
    IDEM__SQLITE_C_ATTEMPT,
    IDEM__SQLITE_C_TOKEN,
    IDEM__SQLITE_C_LEASE_MS,
    IDEM__SQLITE_C_TTL_MS,
    IDEM__SQLITE_C_CREATED_AT_MS,
    IDEM__SQLITE_C_UPDATED_AT_MS,
    IDEM__SQLITE_C_FINGERPRINT,
    IDEM__SQLITE_C_RESPONSE,
    IDEM__SQLITE_C_CHECKPOINT
};

/** The statement, prepared. @return NULL: the fault says why */
sqlite3_stmt *idem__sqlite_statement(struct idem__sqlite *self, idem__sqlite_sql which,
                                     idem__sqlite_fault *fault);

/** Prepares any SQL, waiting for locks as a step does. @return as SQLite */
int idem__sqlite_prepare(struct idem__sqlite *self, const char *sql, unsigned flags,
                         sqlite3_stmt **statement);

/** One step; the first of a statement waits for locks. @return as SQLite; SQLITE_ABORT_ROLLBACK if
 *  the caller's transaction is gone that the call began in */
int idem__sqlite_step(struct idem__sqlite *self, sqlite3_stmt *statement);

/** Ends a run of a statement: no lock and no borrowed bytes stay behind. */
void idem__sqlite_done(sqlite3_stmt *statement);

/** Runs a statement that has no parameters and gives no rows. @return as SQLite;
 *  SQLITE_OK for success */
int idem__sqlite_run(struct idem__sqlite *self, idem__sqlite_sql which);

/** Room for the first bytes of what a pragma gives. */
#define IDEM__SQLITE_PRAGMA_SIZE 16

/** Runs a pragma. @param[out] answer  empty if it gives nothing */
int idem__sqlite_pragma(struct idem__sqlite *self, const char *sql,
                        char answer[IDEM__SQLITE_PRAGMA_SIZE], idem__sqlite_fault *fault);

/** Finalizes all. */
void idem__sqlite_statements_close(struct idem__sqlite *self);

#endif
