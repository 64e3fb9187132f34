/* SPDX-License-Identifier: MIT */
/*
 * The SQLite backend by URL: its table of operations, and an instance's life.
 *
 * A store opens one instance that writes and some that read; each is one connection, used by one
 * thread at a time. Everything that several processes must agree on is SQLite's: locks and
 * transactions. What is written is in place when the transaction is committed, not before.
 */
#include "batch.h"
#include "connection.h"
#include "file_limit.h"
#include "guard.h"
#include "lock.h"
#include "origin.h"
#include "place.h"
#include "ops.h"

#include <idem/sqlite.h>

#include <stdlib.h>

extern const idem_backend_ops idem__sqlite_backend;

static const idem_param params[] = {
    [IDEM__SQLITE_SYNCHRONOUS] = {.name = "synchronous",
                                  .type = IDEM_PARAM_CHOICE,
                                  .fallback = "full",
                                  .help = "full: what was acknowledged survives a power failure; "
                                          "normal: faster, and survives the process only",
                                  .choices = "full|normal"},
    [IDEM__SQLITE_BUSY_TIMEOUT] = {.name = "busy_timeout",
                                   .type = IDEM_PARAM_DURATION,
                                   .help = "how long to wait for another process's lock; not set: "
                                           "until the call's deadline"},
    [IDEM__SQLITE_MODE] = {.name = "mode",
                           .type = IDEM_PARAM_TEXT,
                           .fallback = "0600",
                           .help = "who may use a file that is created, in octal as for chmod"},
    [IDEM__SQLITE_CREATE] = {.name = "create",
                             .type = IDEM_PARAM_CHOICE,
                             .fallback = "yes",
                             .help = "no: a file that is not there is an error",
                             .choices = "yes|no"},
};

static int refuse(const char *what, idem_error *error)
{
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "sqlite: %s; write sqlite:///absolute/path.db, sqlite:relative/path.db "
                          "or sqlite::memory:",
                          what);
}

static int check_url(const idem_config *config, idem_error *error)
{
    if (config->host || config->user || config->password || config->port)
        return refuse("the URL names a host or a user, and a file has neither", error);
    if (!config->path || !*config->path)
        return refuse("the URL names no file", error);
    if (config->path[strlen(config->path) - 1] == '/')
        return refuse("the URL names a folder, not a file", error);
    return IDEM_OK;
}

/* Also where the file is opened later: what is wrong with the URL is wrong now. */
static int prepare(const idem_config *config, void **prepared, idem_error *error)
{
    idem__sqlite_place *place = NULL;
    int rc = check_url(config, error);
    if (rc == IDEM_OK)
        rc = idem__sqlite_place_make(config, false, &place, error);
    *prepared = place;
    return rc;
}

static void close_instance(idem_backend *backend)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    idem__sqlite_file_limit limit;
    /* The last connection moves the log into the file. It must not wait for anybody. */
    idem__sqlite_lock_enter(self, 0);
    if (self->overwritten)
        idem__sqlite_disconnect(self); /* without moving the log into what is there now */
    idem__sqlite_statements_close(self);
    idem__sqlite_guard_release(self);
    bool was_open = self->db != NULL;
    idem__sqlite_file_limit_enter(&limit);
    (void)sqlite3_close(self->db);
    idem__sqlite_file_limit_leave(&limit);
    if (self->place && was_open)
        idem__sqlite_origin_forget(idem__sqlite_place_path(self->place));
    if (self->own_place)
        idem__sqlite_place_free(self->place);
    free(self);
}

static int open_instance(const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__sqlite_fault fault = {0};
    idem__sqlite_file_limit limit;
    int rc = check_url(config, error);
    if (rc)
        return rc;
    bool in_memory = strcmp(config->path, ":memory:") == 0;
    if (in_memory && config->role == IDEM_ROLE_READER)
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "sqlite: a database in memory has one connection");
    if (sqlite3_threadsafe() == 0)
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "sqlite: this SQLite was built without threads");
    idem__sqlite *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->base.ops = &idem__sqlite_backend;
    self->config = config;
    self->in_memory = in_memory;
    self->place = config->prepared;
    const idem_value *busy = &config->values[IDEM__SQLITE_BUSY_TIMEOUT];
    self->busy_timeout_ms = busy->text ? busy->number : UINT64_MAX;
    idem__sqlite_lock_enter(self, config->deadline_ms);
    if (!self->place) {
        self->own_place = true;
        rc = idem__sqlite_place_make(config, true, &self->place, &fault.error);
    }
    idem__sqlite_file_limit_enter(&limit);
    if (rc == IDEM_OK)
        rc = idem__sqlite_connect(self, &fault);
    idem__sqlite_file_limit_leave(&limit);
    if (rc) {
        close_instance(&self->base);
        return idem__sqlite_fault_report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    idem__sqlite_fault fault = {0};
    idem__sqlite_file_limit limit;
    bool reads = idem__sqlite_batch_reads(ops, count);
    (void)error; /* every op gets an answer of its own */
    if (!reads || !self->db)
        idem__sqlite_file_limit_enter(&limit);
    else
        limit.held = false;
    if (idem__sqlite_ready(self, reads, deadline_ms, &fault))
        idem__sqlite_batch_fail(ops, count, &fault);
    else
        idem__sqlite_batch_run(self, ops, count);
    idem__sqlite_file_limit_leave(&limit);
    return IDEM_OK;
}

/* A database in memory has no lock and no descriptor: the child goes on with a copy. */
static void at_fork(idem_backend *backend, idem_fork_phase phase)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    if (phase == IDEM_FORK_PREPARE && !self->in_memory)
        idem__sqlite_disconnect(self);
}

const idem_backend_ops idem__sqlite_backend = {
    .size = sizeof(idem_backend_ops),
    .scheme = "sqlite",
    .summary = "a SQLite file that any number of processes share",
    .example = "sqlite:///var/lib/app/idem.db",
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_TRAIT_CLOCK | IDEM_BACKEND_READ_FIRST,
    .params = params,
    .params_count = IDEM__SQLITE_PARAMS,
    .instances = 1,
    .readers = 4,
    .open = open_instance,
    .prepare = prepare,
    .dispose = idem__sqlite_place_free,
    .submit = submit,
    .close = close_instance,
    .scan = idem__sqlite_slot_scan,
    .purge = idem__sqlite_slot_purge,
    .check = idem__sqlite_slot_check,
    .at_fork = at_fork,
};
