/* SPDX-License-Identifier: MIT */
/* The instance that the files of this backend share: one connection and what goes with it. */
#ifndef IDEM_SQLITE_INSTANCE_H
#define IDEM_SQLITE_INSTANCE_H

#include "fault.h"
#include "statements.h"

#include <sys/types.h>
#include <time.h>

/** The rows of the table of URL parameters. */
enum {
    IDEM__SQLITE_SYNCHRONOUS,
    IDEM__SQLITE_BUSY_TIMEOUT,
    IDEM__SQLITE_MODE,
    IDEM__SQLITE_CREATE,
    IDEM__SQLITE_PARAMS
};

/** Room for "SQLite file " and a quoted path. */
#define IDEM__SQLITE_NAME_SIZE (IDEM_QUOTE_SIZE + 32)

typedef struct idem__sqlite_place idem__sqlite_place;

/** What the file and the log's index said when they were last looked at; see content.c. */
typedef struct {
    bool known;
    off_t size;
    struct timespec changed;
    uint32_t salts[2];
    uint32_t backfill;
    uint32_t attempted;
    unsigned char header[100];
} idem__sqlite_content;

typedef struct idem__sqlite {
    idem_backend base;
    const idem_config *config;
    sqlite3 *db;               /**< NULL: closed across a fork; the next call opens it again */
    idem__sqlite_place *place; /**< which file it is; NULL on a caller's connection */
    bool own_place;            /**< nobody shares it */
    bool has_log;      /**< a write-ahead log, and a lock on the file for as long as it is open */
    bool quiet;        /**< the file is read without locks: nobody writes it, and this user can't */
    bool joined;       /**< db is the caller's, and so is the transaction that may be open */
    bool in_memory;    /**< the connection is the database */
    bool nested;       /**< the call began in a transaction of the caller's */
    bool broken;       /**< the connection is of no more use */
    bool sweep_failed; /**< expired rows are left to purge */
    bool committing;   /**< what is under way has come to its commit */
    bool no_wait;      /**< locks are not waited for */
    bool named;        /**< `name_at` is known */
    bool noted;        /**< file and log say that they belong together; see origin.c */
    bool note_due;     /**< they have to, since something is in the log */
    int64_t name_at;   /**< stands for the file's name; see guard.c */
    char name[IDEM__SQLITE_NAME_SIZE]; /**< the database in messages */

    uint64_t busy_timeout_ms; /**< UINT64_MAX: not set */
    uint64_t entered_ms;      /**< when the call under way began */
    uint64_t deadline_ms;     /**< when it has to end */
    uint64_t give_up_ms;      /**< until when it waits for locks */
    uint64_t looked_ms;       /**< when it was last looked whether the file is in its place */

    int64_t boot_id;        /**< 0: not known */
    int64_t boot_offset_ms; /**< by how much this process's boot clock is ahead of the kernel's */
    struct {
        uint64_t version;
        uint64_t since_ms;
    } strays[16]; /**< records that no clock of ours has dated, and since when they are known */
    size_t next_stray;
    idem__sqlite_content content;
    bool overwritten;     /**< the file was written over in place */
    bool met_strays;      /**< the batch under way has found one */
    size_t swept_ahead;   /**< so many inserts more need no sweep */
    int64_t sweep_cursor; /**< the row that the last sweep ended at */
    bool has_cursor;      /**< it is known; else it is read before the first sweep */

    uint64_t page_size;     /**< of the file; 0: not asked yet */
    int log_frames;         /**< length of the write-ahead log at the last commit */
    uint64_t trim_at_bytes; /**< no try to empty the log before it has so many */
    uint64_t trim_wait_ms;  /**< how long a lock is waited for in that */
    uint64_t trim_until_ms; /**< until when that is for the lock under way */
    sqlite3_stmt *statements[IDEM__SQLITE_STATEMENTS];
} idem__sqlite;

#endif
