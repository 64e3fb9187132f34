/* SPDX-License-Identifier: MIT */
/*
 * The Redis backend by URL: two tables of operations (TCP, unix socket) that share all functions,
 * and an instance's life.
 *
 * A store opens up to four instances; each is one connection, used by one thread at a time. What
 * several callers must agree on is decided inside the server, one command or script per op. A lost
 * connection is opened again by the next call; repeating is the store's business.
 */
#include "batch.h"
#include "check.h"
#include "connection.h"
#include "scan.h"

#include <stdlib.h>

extern const idem_backend_ops idem__redis_backend;
extern const idem_backend_ops idem__redis_unix_backend;

static const idem_param params[] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = {.name = "connect_timeout",
                                     .type = IDEM_PARAM_DURATION,
                                     .fallback = "1s",
                                     .help = "how long to wait for a connection, within the "
                                             "call's timeout"},
    [IDEM__REDIS_DB] = {.name = "db",
                        .type = IDEM_PARAM_TEXT,
                        .fallback = "0",
                        .help = "the number of the database"},
};

static int report(const idem__redis_fault *fault, idem_error *error)
{
    int rc = idem_error_set(error, fault->error.code, "%s", fault->error.message);
    return fault->permanent && rc == IDEM_ERR_UNAVAILABLE ? rc | IDEM_PERMANENT : rc;
}

static void close_instance(idem_backend *backend)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_wire_close(&self->wire);
    idem_buffer_clear(&self->text);
    free(self);
}

/* Also where the server is asked later: what is wrong with the URL is wrong now. */
static int prepare_as(const idem_backend_ops *ops, const idem_config *config, idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis self = {.config = config};
    int rc = idem__redis_locate(&self, ops == &idem__redis_unix_backend, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

static int open_as(const idem_backend_ops *ops, const idem_config *config, idem_backend **backend,
                   idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->base.ops = ops;
    self->config = config;
    self->wire.fd = -1;
    self->wire.name = self->name;
    int rc = idem__redis_locate(self, ops == &idem__redis_unix_backend, &fault);
    if (rc == IDEM_OK)
        rc = idem__redis_ready(self, config->deadline_ms, &fault);
    if (rc) {
        close_instance(&self->base);
        return report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

static int open_tcp(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return open_as(&idem__redis_backend, config, backend, error);
}

static int open_unix(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return open_as(&idem__redis_unix_backend, config, backend, error);
}

static int prepare_tcp(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return prepare_as(&idem__redis_backend, config, error);
}

static int prepare_unix(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return prepare_as(&idem__redis_unix_backend, config, error);
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_fault fault = {0};
    (void)error; /* every op gets an answer of its own */
    if (idem__redis_ready(self, deadline_ms, &fault))
        idem__redis_batch_fail(ops, count, &fault);
    else
        idem__redis_batch_run(self, ops, count, deadline_ms);
    return IDEM_OK;
}

static int scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_fault fault = {0};
    int rc = idem__redis_ready(self, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__redis_scan(self, page, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

static int check(idem_backend *backend, idem_finding_fn emit, void *emit_user, uint64_t deadline_ms,
                 idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_fault fault = {0};
    int rc = idem__redis_ready(self, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__redis_check(self, emit, emit_user, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

/* The child's copy of the socket is closed; to the server nothing has happened. */
static void at_fork(idem_backend *backend, idem_fork_phase phase)
{
    idem__redis *self = (idem__redis *)backend;
    if (phase == IDEM_FORK_CHILD)
        idem__redis_wire_close(&self->wire);
}

/* clang-format off */
#define SHARED_BY_BOTH                                      \
    .size = sizeof(idem_backend_ops),                       \
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED,       \
    .params = params,                                       \
    .lanes = 4,                                             \
    .submit = submit,                                       \
    .close = close_instance,                                \
    .scan = scan,                                           \
    .check = check,                                         \
    .at_fork = at_fork
/* clang-format on */

const idem_backend_ops idem__redis_backend = {
    SHARED_BY_BOTH,
    .scheme = "redis",
    .summary = "a Redis or Valkey server that any number of machines share",
    .example = "redis://user:password@localhost:6379/0",
    .params_count = IDEM__REDIS_DB,
    .open = open_tcp,
    .prepare = prepare_tcp,
};

const idem_backend_ops idem__redis_unix_backend = {
    SHARED_BY_BOTH,
    .scheme = "redis+unix",
    .summary = "the same over a socket on this machine",
    .example = "redis+unix:///run/redis/redis.sock?db=0",
    .params_count = IDEM__REDIS_PARAMS,
    .open = open_unix,
    .prepare = prepare_unix,
};
