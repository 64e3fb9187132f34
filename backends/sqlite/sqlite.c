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
#include "lock.h"
#include "slots.h"

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
    (void)prepared;
    return check_url(config, error);
}

/* SQLite gives some names a meaning (`file:…`); behind a folder they have none. */
static char *path_for_sqlite(const idem_config *config, bool in_memory)
{
    const char *before = in_memory || config->path[0] == '/' ? "" : "./";
    size_t size = strlen(before) + strlen(config->path) + 1;
    char *path = malloc(size);
    if (path) {
        memcpy(path, before, strlen(before));
        memcpy(path + strlen(before), config->path, size - strlen(before));
    }
    return path;
}

static void close_instance(idem_backend *backend)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    /* The last connection moves the log into the file. It must not wait for anybody. */
    idem__sqlite_lock_enter(self, 0);
    idem__sqlite_statements_close(self);
    (void)sqlite3_close(self->db);
    free(self->path);
    free(self);
}

static int open_instance(const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__sqlite_fault fault = {0};
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
    self->path = path_for_sqlite(config, in_memory);
    const idem_value *busy = &config->values[IDEM__SQLITE_BUSY_TIMEOUT];
    self->busy_timeout_ms = busy->text ? busy->number : UINT64_MAX;
    idem__sqlite_lock_enter(self, config->deadline_ms);
    rc = self->path ? idem__sqlite_connect(self, &fault)
                    : idem__sqlite_fault_set(&fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
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
    (void)error; /* every op gets an answer of its own */
    if (idem__sqlite_ready(self, idem__sqlite_batch_reads(ops, count), deadline_ms, &fault))
        idem__sqlite_batch_fail(ops, count, &fault);
    else
        idem__sqlite_batch_run(self, ops, count);
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
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_TRAIT_CLOCK | IDEM_BACKEND_LOOK_FIRST,
    .params = params,
    .params_count = IDEM__SQLITE_PARAMS,
    .lanes = 1,
    .readers = 4,
    .open = open_instance,
    .prepare = prepare,
    .submit = submit,
    .close = close_instance,
    .scan = idem__sqlite_slot_scan,
    .purge = idem__sqlite_slot_purge,
    .check = idem__sqlite_slot_check,
    .at_fork = at_fork,
};
