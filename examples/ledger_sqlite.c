/* SPDX-License-Identifier: MIT */
/* The ledger in a SQLite file. */
#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <idem/sqlite.h>
#include <sqlite3.h>

#define LOCK_WAIT_MS 10000

typedef struct {
    ledger base;
    sqlite3 *db;
} file_ledger;

static sqlite3 *db_of(ledger *self)
{
    return ((file_ledger *)self)->db;
}

static bool sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    return ledger_fail(text, sqlite3_errmsg(db));
}

/* IMMEDIATE: a transaction that begins as a reader may fail when it has to become a writer. */
static bool begin(ledger *self)
{
    return sql(db_of(self), "BEGIN IMMEDIATE");
}

static bool commit(ledger *self)
{
    return sql(db_of(self), "COMMIT");
}

static bool rollback(ledger *self)
{
    return sql(db_of(self), "ROLLBACK");
}

static bool add(ledger *self, const ledger_entry *entry, int64_t *number)
{
    sqlite3 *db = db_of(self);
    sqlite3_stmt *insert = NULL;
    const char *text = "INSERT INTO ledger (event, type, value, currency, consumer)"
                       " VALUES (?1, ?2, ?3, ?4, ?5)";
    bool ok = sqlite3_prepare_v2(db, text, -1, &insert, NULL) == SQLITE_OK &&
              sqlite3_bind_text(insert, 1, entry->event, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(insert, 2, entry->type, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_int64(insert, 3, entry->value) == SQLITE_OK &&
              sqlite3_bind_text(insert, 4, entry->currency, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(insert, 5, entry->consumer, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(insert) == SQLITE_DONE;
    if (!ok)
        (void)ledger_fail("write to the ledger", sqlite3_errmsg(db));
    (void)sqlite3_finalize(insert);
    *number = (int64_t)sqlite3_last_insert_rowid(db);
    return ok;
}

static bool print(ledger *self)
{
    sqlite3 *db = db_of(self);
    sqlite3_stmt *select = NULL;
    int step = SQLITE_ERROR;
    const char *text = "SELECT event, currency, value, consumer FROM ledger ORDER BY event, entry";
    if (sqlite3_prepare_v2(db, text, -1, &select, NULL) == SQLITE_OK) {
        while ((step = sqlite3_step(select)) == SQLITE_ROW)
            (void)printf("%s %s %" PRId64 " %s\n", (const char *)sqlite3_column_text(select, 0),
                         (const char *)sqlite3_column_text(select, 1),
                         (int64_t)sqlite3_column_int64(select, 2),
                         (const char *)sqlite3_column_text(select, 3));
    }
    if (step != SQLITE_DONE)
        (void)ledger_fail("read the ledger", sqlite3_errmsg(db));
    (void)sqlite3_finalize(select);
    return step == SQLITE_DONE;
}

static bool reset(ledger *self)
{
    return sql(db_of(self), "DELETE FROM ledger");
}

static void close_it(ledger *self)
{
    idem_close(self->store); /* before its connection */
    (void)sqlite3_close(db_of(self));
    free(self);
}

static const ledger_calls calls = {begin, commit, rollback, add, print, reset, close_it};

/* Two that switch a new database to WAL at the same time can meet SQLITE_BUSY, which SQLite does
   not wait out by itself here. */
static bool use_wal(sqlite3 *db)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    int rc = SQLITE_BUSY;
    for (int tries = 0; rc == SQLITE_BUSY && tries < LOCK_WAIT_MS / 10; tries++) {
        if (tries > 0)
            (void)nanosleep(&pause, NULL);
        rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK)
        (void)ledger_fail("switch the database to WAL", sqlite3_errmsg(db));
    return rc == SQLITE_OK;
}

static bool open_on(file_ledger *self, const char *path, const char *options)
{
    idem_error error;
    if (sqlite3_open(path, &self->db) != SQLITE_OK)
        return ledger_fail("open the database", sqlite3_errmsg(self->db));
    (void)sqlite3_busy_timeout(self->db, LOCK_WAIT_MS);
    if (!use_wal(self->db) || !sql(self->db, "PRAGMA synchronous = FULL") ||
        !sql(self->db, "CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY, event TEXT,"
                       " type TEXT, value INTEGER, currency TEXT, consumer TEXT)"))
        return false;
    if (idem_sqlite_open_on(self->db, options, &self->base.store, &error) != IDEM_OK)
        return ledger_fail("open the store", error.message);
    return true;
}

ledger *ledger_open_sqlite(const char *path, const char *options)
{
    file_ledger *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->base.calls = &calls;
    if (open_on(self, path, options))
        return &self->base;
    close_it(&self->base);
    return NULL;
}
