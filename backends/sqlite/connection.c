/* SPDX-License-Identifier: MIT */
/*
 * The connection to a file of our own.
 *
 * SQLite's connections must not cross a fork(), and neither must what it remembers of a file's
 * locks, which belongs to the process: so the connection is closed before the fork, and each side
 * opens its own when it needs one. Which file that has to be is place.c's to say.
 *
 * A file that is not ours is looked at and left alone: it is read before anything is written.
 */
#include "connection.h"

#include "wal_trim.h"
#include "clock.h"
#include "guard.h"
#include "harden.h"
#include "lock.h"
#include "wal_sync.h"
#include "origin.h"
#include "place.h"
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
                       idem_quote(idem_str(idem__sqlite_place_path(self->place)), quoted));
}

/* Tells the errors of a statement from those of its commit, where it has one of its own. */
static int note_commit(void *user)
{
    idem__sqlite *self = user;
    self->committing = true;
    return 0;
}

/* Opens the file, which place.c has created if need be; `quiet`: as one that nobody writes. */
static int open_connection(idem__sqlite *self)
{
    const char *path = idem__sqlite_place_path(self->place);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (!self->quiet)
        return idem__sqlite_lock_open(path, &self->db, flags | SQLITE_OPEN_READWRITE);
    char *uri = idem__sqlite_place_uri(self->place, "immutable=1");
    int code =
        uri ? idem__sqlite_lock_open(uri, &self->db, flags | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI)
            : SQLITE_NOMEM;
    free(uri);
    return code;
}

static int open_file(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int code = open_connection(self);
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

/* Up to 8 MB: the inner pages of both trees of a million records stay in it while leaves pass
   through, where SQLite's 2 MB lose them. */
#define SET_CACHE "PRAGMA cache_size = -8000"

/* A log that one large transaction has made long becomes so short when it begins anew. */
#define LIMIT_LOG "PRAGMA journal_size_limit = 16777216"

/* A connection that has read a file with a log has it open, and keeps its lock on the file as long;
   so nobody can give the file another mode. Without a log no lock outlives a statement. */
static bool has_open_log(idem__sqlite *self)
{
    int lock = SQLITE_LOCK_NONE;
    sqlite3_file *log = NULL;
    return !self->quiet &&
           sqlite3_file_control(self->db, "main", SQLITE_FCNTL_LOCKSTATE, &lock) == SQLITE_OK &&
           lock >= SQLITE_LOCK_SHARED &&
           sqlite3_file_control(self->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) ==
               SQLITE_OK &&
           log && log->pMethods;
}

/* Gives the file a log, unless it is only looked at. */
static int set_log(idem__sqlite *self, bool looks, idem__sqlite_fault *fault)
{
    char answer[IDEM__SQLITE_PRAGMA_SIZE];
    int rc = idem__sqlite_pragma(
        self, looks ? "PRAGMA main.journal_mode" : "PRAGMA journal_mode = WAL", answer, fault);
    if (rc)
        return rc;
    self->has_log = !self->quiet && strcmp(answer, "wal") == 0;
    if (!self->has_log && !looks)
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                      "%s can't have a write-ahead log: its file system has no "
                                      "shared memory; keep it on a local disk",
                                      self->name);
    /* A connection that has just set the mode has no lock on the file yet. It must have one
       before the log's index is touched: the last of the others would delete the index under it. */
    return idem__sqlite_pragma(self, "PRAGMA main.schema_version", answer, fault);
}

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
    /* A reader changes no settings. */
    bool looks =
        sqlite3_db_readonly(self->db, "main") == 1 || (self->config->flags & IDEM_OPEN_EXISTING);
    if (rc == IDEM_OK && !looks)
        rc = idem__sqlite_pragma(self, LIMIT_LOG, answer, fault);
    if (rc)
        return rc;
    self->has_log = has_open_log(self);
    return self->has_log ? IDEM_OK : set_log(self, looks, fault);
}

/* Makes sure that the right file is open, and that its log is, before anything is read. */
static int identify(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int rc = idem__sqlite_place_settle(self, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_guard_take(self, fault);
    return rc ? rc : idem__sqlite_origin_check(self, fault);
}

static int make_tables(idem__sqlite *self, bool current, idem__sqlite_fault *fault)
{
    if (current)
        return idem__sqlite_schema_try(self, fault);
    if (self->in_memory || !(self->config->flags & IDEM_OPEN_EXISTING))
        return idem__sqlite_schema_ensure(self, fault);
    return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                  "%s holds no records yet, or tables of an older version: begin a "
                                  "key in it first",
                                  self->name);
}

static int connect_once(idem__sqlite *self, idem__sqlite_fault *fault)
{
    bool current = false;
    int rc = idem__sqlite_place_look(self, fault);
    if (rc == IDEM_OK)
        rc = open_file(self, fault);
    if (rc == IDEM_OK)
        rc = identify(self, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_schema_inspect(self, &current, fault);
    if (rc == IDEM_OK)
        rc = set_modes(self, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_wal_sync(self, fault);
    if (rc == IDEM_OK)
        rc = make_tables(self, current, fault);
    if (rc) {
        idem__sqlite_disconnect(self);
        return rc;
    }
    if (self->note_due)
        idem__sqlite_origin_note(self);
    memset(&self->content, 0, sizeof self->content);
    return idem__sqlite_place_look(self, fault);
}

/* SQLite creates a log even for a reader, and a user with the right to read only can't write to the
   folder. If there is no log, no process has the file open, and it can be read as it is. */
int idem__sqlite_connect(idem__sqlite *self, idem__sqlite_fault *fault)
{
    name_it(self);
    idem__sqlite_clock_read(self);
    self->quiet = false;
    self->has_log = false;
    int rc = connect_once(self, fault);
    if (rc != IDEM_ERR_UNAVAILABLE || !idem__sqlite_place_is_quiet(self->place))
        return rc;
    memset(fault, 0, sizeof *fault);
    self->quiet = true;
    return connect_once(self, fault);
}

int idem__sqlite_ready(idem__sqlite *self, bool reads, uint64_t deadline_ms,
                       idem__sqlite_fault *fault)
{
    idem__sqlite_lock_enter(self, deadline_ms);
    if (self->joined)
        return IDEM_OK;
    /* What was quiet may be written by now. */
    if (self->db && (self->broken || self->quiet))
        idem__sqlite_disconnect(self);
    if (!self->db)
        return idem__sqlite_connect(self, fault);
    /* To look at the path costs a replay as much as its locks. */
    bool looked = reads && self->looked_ms == self->entered_ms;
    int rc = looked ? IDEM_OK : idem__sqlite_place_look(self, fault);
    self->looked_ms = rc ? 0 : self->entered_ms;
    return rc;
}

void idem__sqlite_disconnect(idem__sqlite *self)
{
    idem__sqlite_statements_close(self);
    if (self->db)
        (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (self->db && self->overwritten)
        idem__sqlite_origin_disown(self);
    idem__sqlite_guard_release(self);
    (void)sqlite3_close(self->db);
    self->db = NULL;
    self->overwritten = false;
    self->has_log = false;
    self->broken = false;
}
