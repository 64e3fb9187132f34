/* SPDX-License-Identifier: MIT */
/*
 * A store on the caller's own connection: the same tables and statements, inside the transaction
 * that the caller has open, or in one of our own if there is none. The connection's settings stay
 * as they are, and so does the caller's sqlite3_last_insert_rowid().
 */
#include <idem/sqlite.h>

#include "batch.h"
#include "clock.h"
#include "guard.h"
#include "lock.h"
#include "schema.h"
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>

static const idem_backend_ops joined_backend;

static void name_it(idem__sqlite *self)
{
    char quoted[IDEM_QUOTE_SIZE];
    const char *path = sqlite3_db_filename(self->db, "main");
    if (path && *path)
        (void)snprintf(self->name, sizeof self->name, "SQLite file %s",
                       idem_quote(idem_str(path), quoted));
    else
        (void)snprintf(self->name, sizeof self->name, "SQLite's database in memory");
}

static void close_instance(idem_backend *backend)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    idem__sqlite_statements_close(self);
    free(self);
}

static int open_instance(const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__sqlite_fault fault = {0};
    idem__sqlite *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->base.ops = &joined_backend;
    self->config = config;
    self->db = config->context;
    self->joined = true;
    self->busy_timeout_ms = UINT64_MAX;
    idem__sqlite_clock_read(self);
    name_it(self);
    idem__sqlite_lock_enter(self, config->deadline_ms);
    int64_t rowid = sqlite3_last_insert_rowid(self->db);
    int rc = idem__sqlite_guard_take(self, &fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_schema_ensure(self, &fault);
    sqlite3_set_last_insert_rowid(self->db, rowid);
    if (rc) {
        close_instance(&self->base);
        return idem__sqlite_fault_report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

/* Where a call began, as its ops carry it along. */
enum { OUTSIDE = 1, INSIDE = 2 | IDEM_CONTEXT_REVOCABLE };

/* A call that has lost the transaction that it began in must not go on: by itself it would claim or
   complete without the rows that were to stand or fall with it. Nor does it enter another one. */
static void fail_displaced(const idem__sqlite *self, idem_op *op)
{
    if (op->context == INSIDE)
        idem_op_fail(op, true, IDEM_ERR_UNAVAILABLE,
                     "your transaction was rolled back in the middle of the call, and nothing was "
                     "written: begin it again (%s)",
                     self->name);
    else
        idem_op_fail(op, true, IDEM_ERR_UNAVAILABLE,
                     "a transaction was begun on the connection in the middle of the call; use the "
                     "connection by one thread at a time (%s)",
                     self->name);
}

/* @return how many ops may be carried out */
static size_t keep_in_place(const idem__sqlite *self, idem_op *const *ops, size_t count,
                            idem_op **kept)
{
    uint8_t here = self->nested ? INSIDE : OUTSIDE;
    size_t kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->context != 0 && ops[i]->context != here) {
            fail_displaced(self, ops[i]);
            continue;
        }
        ops[i]->context = here;
        kept[kept_count++] = ops[i];
    }
    return kept_count;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    idem_op *kept[IDEM_BATCH_MAX];
    idem__sqlite *self = (idem__sqlite *)backend;
    int64_t rowid = sqlite3_last_insert_rowid(self->db);
    (void)error; /* every op gets an answer of its own */
    idem__sqlite_lock_enter(self, deadline_ms);
    size_t kept_count = keep_in_place(self, ops, count, kept);
    if (kept_count > 0)
        idem__sqlite_batch_run(self, kept, kept_count);
    sqlite3_set_last_insert_rowid(self->db, rowid);
    return IDEM_OK;
}

static const idem_backend_ops joined_backend = {
    .size = sizeof(idem_backend_ops),
    .scheme = "sqlite-on",
    .summary = "the caller's own SQLite connection",
    .example = "idem_sqlite_open_on()",
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_BACKEND_NO_BACKGROUND,
    .instances = 1,
    .open = open_instance,
    .submit = submit,
    .close = close_instance,
    .scan = idem__sqlite_slot_scan,
    .purge = idem__sqlite_slot_purge,
    .check = idem__sqlite_slot_check,
};

int idem_sqlite_open_on(struct sqlite3 *db, const char *options, idem_store **store,
                        idem_error *error)
{
    /* The core clears the error of its own call; this one returns before. */
    if (error)
        memset(error, 0, sizeof *error);
    if (!db)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the connection is NULL");
    if (!sqlite3_get_autocommit(db))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a transaction is open on the connection: open the store before it, "
                              "or after it has ended");
    return idem_open_backend(&joined_backend, db, options, store, error);
}
