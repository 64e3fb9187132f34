/* SPDX-License-Identifier: MIT */
/*
 * The connection to a file of our own.
 *
 * SQLite's connections must not cross a fork(), and neither must what it remembers of a file's
 * locks, which belongs to the process: so the connection is closed before the fork, and each side
 * opens its own when it needs one. The path is made absolute when it is first opened, and a file
 * is created only then: if it is gone later, that is an error and no new, empty store.
 *
 * A file that is not ours is looked at and left alone: it is read before anything is written.
 */
#include "connection.h"

#include "checkpoint.h"
#include "clock.h"
#include "harden.h"
#include "lock.h"
#include "log.h"
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>

static void name_it(idem__sqlite *self)
{
    char quoted[IDEM_QUOTE_SIZE];
    if (self->in_memory)
        (void)snprintf(self->name, sizeof self->name, "SQLite's database in memory");
    else
        (void)snprintf(self->name, sizeof self->name, "SQLite file %s",
                       idem_quote(idem_str(self->path), quoted));
}

/* Tells the errors of a statement from those of its commit, where it has one of its own. */
static int note_commit(void *user)
{
    idem__sqlite *self = user;
    self->committing = true;
    return 0;
}

static int open_file(idem__sqlite *self, bool create, idem__sqlite_fault *fault)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (create ? SQLITE_OPEN_CREATE : 0);
    int code = idem__sqlite_lock_open(self->path, &self->db, flags);
    if (code == SQLITE_OK)
        code = sqlite3_busy_handler(self->db, idem__sqlite_lock_wait, self);
    if (code == SQLITE_OK)
        code = idem__sqlite_harden_connection(self);
    if (code == SQLITE_OK) {
        (void)sqlite3_commit_hook(self->db, note_commit, self);
        idem__sqlite_checkpoint_watch(self);
    }
    return code == SQLITE_OK ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}

/* Up to 8 MB: the inner pages of both trees of a million records stay in it while leaves pass through,
   where SQLite's 2 MB lose them. */
#define SET_CACHE "PRAGMA cache_size = -8000"

/* A log that one large transaction has made long becomes so short when it begins anew. */
#define LIMIT_LOG "PRAGMA journal_size_limit = 16777216"

static int set_modes(idem__sqlite *self, idem__sqlite_fault *fault)
{
    char answer[IDEM__SQLITE_PRAGMA_SIZE];
    bool normal = self->config->values[IDEM__SQLITE_SYNCHRONOUS].number == 1;
    if (self->in_memory)
        return IDEM_OK;
    int rc = idem__sqlite_pragma(
        self, normal ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", answer, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_pragma(self, SET_CACHE, answer, fault);
    if (rc || sqlite3_db_readonly(self->db, "main") == 1)
        return rc;
    rc = idem__sqlite_pragma(self, LIMIT_LOG, answer, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_pragma(self, "PRAGMA journal_mode = WAL", answer, fault);
    if (rc == IDEM_OK && strcmp(answer, "wal") != 0)
        rc = idem__sqlite_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                    "%s can't have a write-ahead log: its file system has no "
                                    "shared memory; keep it on a local disk",
                                    self->name);
    return rc;
}

static int keep_absolute_path(idem__sqlite *self, idem__sqlite_fault *fault)
{
    const char *path = sqlite3_db_filename(self->db, "main");
    if (self->in_memory || !path || !*path)
        return IDEM_OK;
    char *copy = strdup(path);
    if (!copy)
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    free(self->path);
    self->path = copy;
    name_it(self);
    return IDEM_OK;
}

static int connect_to(idem__sqlite *self, bool create, idem__sqlite_fault *fault)
{
    bool current = false;
    name_it(self);
    self->boot_id = idem__sqlite_clock_boot_id(self->config);
    int rc = open_file(self, create, fault);
    if (rc == IDEM_OK)
        rc = keep_absolute_path(self, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_schema_inspect(self, &current, fault);
    if (rc == IDEM_OK)
        rc = set_modes(self, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_log_secure(self, fault);
    if (rc == IDEM_OK)
        rc = current ? idem__sqlite_schema_try(self, fault)
                     : idem__sqlite_schema_ensure(self, fault);
    if (rc)
        idem__sqlite_disconnect(self);
    return rc;
}

int idem__sqlite_connect(idem__sqlite *self, idem__sqlite_fault *fault)
{
    return connect_to(self, true, fault);
}

/* True if the path leads to another file by now, or to none. */
static bool was_moved(idem__sqlite *self)
{
    int moved = 0;
    if (self->in_memory)
        return false;
    return sqlite3_file_control(self->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved;
}

int idem__sqlite_ready(idem__sqlite *self, bool reads, uint64_t deadline_ms,
                       idem__sqlite_fault *fault)
{
    idem__sqlite_lock_enter(self, deadline_ms);
    if (self->joined)
        return IDEM_OK;
    /* To look at the path costs a replay as much as its locks. */
    bool looked = reads && self->looked_ms == self->entered_ms;
    self->looked_ms = self->entered_ms;
    if (self->db && (self->broken || (!looked && was_moved(self))))
        idem__sqlite_disconnect(self);
    return self->db ? IDEM_OK : connect_to(self, false, fault);
}

void idem__sqlite_disconnect(idem__sqlite *self)
{
    idem__sqlite_statements_close(self);
    if (self->db)
        (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close(self->db);
    self->db = NULL;
    self->broken = false;
}
