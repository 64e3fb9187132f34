/* SPDX-License-Identifier: MIT */
/*
 * The Redis backend by URL: tables of operations (TCP, unix socket, sentinels; with TLS in
 * rediss.c) that share all functions, and an instance's life.
 *
 * A store opens up to four instances; each is one connection, used by one thread at a time. What
 * several callers must agree on is decided inside the server, one command or script per op. A lost
 * connection is opened again by the next call; repeating is the store's business.
 */
#include "table.h"

#include "batch.h"
#include "check.h"
#include "connection.h"
#include "scan.h"

#include <stdlib.h>

extern const idem_backend_ops idem__redis_backend;
extern const idem_backend_ops idem__redis_unix_backend;
extern const idem_backend_ops idem__redis_sentinel_backend;

static const idem_param params[] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = IDEM__REDIS_CONNECT_TIMEOUT_ROW,
    [IDEM__REDIS_PASSWORD_FILE] = IDEM__REDIS_PASSWORD_FILE_ROW,
    [IDEM__REDIS_REPLICAS] = IDEM__REDIS_REPLICAS_ROW,
    [IDEM__REDIS_DB] = {.name = "db",
                        .type = IDEM_PARAM_TEXT,
                        .fallback = "0",
                        .help = "the number of the database"},
};

static const idem_param sentinel_params[] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = IDEM__REDIS_CONNECT_TIMEOUT_ROW,
    [IDEM__REDIS_PASSWORD_FILE] = IDEM__REDIS_PASSWORD_FILE_ROW,
    [IDEM__REDIS_REPLICAS] = IDEM__REDIS_REPLICAS_ROW,
    IDEM__REDIS_SENTINEL_ROWS(IDEM__REDIS_PARAMS),
};

static int report(const idem__redis_fault *fault, idem_error *error)
{
    int rc = idem_error_set(error, fault->error.code, "%s", fault->error.message);
    return fault->permanent && rc == IDEM_ERR_UNAVAILABLE ? rc | IDEM_PERMANENT : rc;
}

void idem__redis_close(idem_backend *backend)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_close_connection(self);
    idem__redis_free_requests(self);
    if (self->wire.tls)
        self->wire.tls->ops->free(self->wire.tls);
    idem__redis_sentinel_free(self);
    idem_buffer_clear(&self->text);
    free(self);
}

/* Also where the server is asked later: what is wrong with the URL is wrong now. */
int idem__redis_prepare(idem__redis_way way, const idem_config *config, idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis self = {.config = config};
    int rc = idem__redis_locate(&self, way, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

int idem__redis_prepare_sentinel(idem__redis_way way, const idem_config *config, void **prepared,
                                 idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis_sentinels *list = NULL;
    int rc = idem__redis_prepare(way, config, error);
    if (rc == IDEM_OK && idem__redis_sentinels_make(config, &list, &fault))
        rc = report(&fault, error);
    if (rc == IDEM_OK)
        *prepared = list;
    return rc;
}

void idem__redis_dispose_sentinel(void *prepared)
{
    idem__redis_sentinels_free(prepared);
}

int idem__redis_make(const idem_backend_ops *ops, idem__redis_way way, idem__redis_equip equip,
                     const idem_config *config, idem__redis **made, idem__redis_fault *fault)
{
    idem__redis *self = calloc(1, sizeof *self);
    if (!self) {
        (void)idem__redis_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
        return IDEM_ERR_NO_MEMORY;
    }
    self->base.ops = ops;
    self->config = config;
    self->wire.fd = -1;
    self->wire.name = self->name;
    int rc = idem__redis_locate(self, way, fault);
    if (rc == IDEM_OK && equip)
        rc = equip(self, fault);
    if (rc == IDEM_OK && equip && self->sentinel)
        rc = equip(&self->sentinel->asker, fault);
    if (rc)
        idem__redis_close(&self->base);
    else
        *made = self;
    return rc;
}

int idem__redis_open(const idem_backend_ops *ops, idem__redis_way way, idem__redis_equip equip,
                     const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis *self = NULL;
    int rc = idem__redis_make(ops, way, equip, config, &self, &fault);
    if (rc)
        return report(&fault, error);
    rc = idem__redis_ready(self, config->deadline_ms, &fault);
    if (rc) {
        idem__redis_close(&self->base);
        return report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

static int open_tcp(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_open(&idem__redis_backend, IDEM__REDIS_TCP, NULL, config, backend, error);
}

static int open_unix(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_open(&idem__redis_unix_backend, IDEM__REDIS_UNIX, NULL, config, backend,
                            error);
}

static int open_sentinel(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_open(&idem__redis_sentinel_backend, IDEM__REDIS_SENTINEL, NULL, config,
                            backend, error);
}

static int prepare_sentinel(const idem_config *config, void **prepared, idem_error *error)
{
    return idem__redis_prepare_sentinel(IDEM__REDIS_SENTINEL, config, prepared, error);
}

static int prepare_tcp(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return idem__redis_prepare(IDEM__REDIS_TCP, config, error);
}

static int prepare_unix(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return idem__redis_prepare(IDEM__REDIS_UNIX, config, error);
}

/* For what is not pipelined: the engine uses send and receive. */
int idem__redis_run_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                           uint64_t deadline_ms, idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_fault fault = {0};
    (void)error; /* every op gets an answer of its own */
    if (idem__redis_keep_connected(self, deadline_ms, &fault))
        idem__redis_batch_fail(ops, count, &fault);
    else
        idem__redis_batch_run(self, ops, count, deadline_ms);
    return IDEM_OK;
}

int idem__redis_connect(idem_backend *backend, uint64_t deadline_ms, idem_error *error)
{
    idem__redis_fault fault = {0};
    int rc = idem__redis_keep_connected((idem__redis *)backend, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

int idem__redis_run_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                         idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_fault fault = {0};
    int rc = idem__redis_ready(self, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__redis_scan(self, page, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

int idem__redis_run_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                          uint64_t deadline_ms, idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_fault fault = {0};
    int rc = idem__redis_ready(self, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__redis_check(self, emit, emit_user, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

/* The child's copy of the socket is closed; to the server nothing has happened. */
void idem__redis_at_fork(idem_backend *backend, idem_fork_phase phase)
{
    idem__redis *self = (idem__redis *)backend;
    if (phase == IDEM_FORK_CHILD)
        idem__redis_close_connection(self);
}

const idem_backend_ops idem__redis_backend = {
    IDEM__REDIS_ONE_HOST,
    .scheme = "redis",
    .summary = "a Redis or Valkey server that any number of machines share",
    .example = "redis://user:password@localhost:6379/0",
    .params = params,
    .params_count = IDEM__REDIS_PARAMS,
    .open = open_tcp,
    .prepare = prepare_tcp,
};

const idem_backend_ops idem__redis_unix_backend = {
    IDEM__REDIS_ONE_HOST,
    .scheme = "redis+unix",
    .summary = "the same over a socket on this machine",
    .example = "redis+unix:///run/redis/redis.sock?db=0",
    .params = params,
    .params_count = IDEM__REDIS_UNIX_PARAMS,
    .open = open_unix,
    .prepare = prepare_unix,
};

const idem_backend_ops idem__redis_sentinel_backend = {
    IDEM__REDIS_HOSTS,
    .scheme = "redis+sentinel",
    .summary = "the primary that sentinels name, asked for at every connect",
    .example = "redis+sentinel://user:password@host1:26379,host2:26379/master_name/0",
    .params = sentinel_params,
    .params_count = IDEM__REDIS_PARAMS + IDEM__REDIS_SENTINEL_PARAMS,
    .open = open_sentinel,
    .prepare = prepare_sentinel,
    .dispose = idem__redis_dispose_sentinel,
};
