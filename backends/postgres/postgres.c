/* SPDX-License-Identifier: MIT */
/*
 * The PostgreSQL backend by URL: its table of operations, and an instance's life.
 *
 * A store opens up to four instances; each is one connection, used by one thread at a time. What
 * several callers must agree on is decided inside the server, one statement per op. A lost
 * connection is opened again by the next call; repeating is the store's business.
 */
#include "batch.h"
#include "connection.h"
#include "dial.h"
#include "identity.h"
#include "ops.h"
#include "target.h"

#include <stdlib.h>

extern const idem_backend_ops idem__postgres_backend;

static void close_instance(idem_backend *backend)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_hang_up(self);
    idem__postgres_free(self);
}

static int open_instance(const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__postgres_fault fault = {0};
    idem__postgres *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->base.ops = &idem__postgres_backend;
    self->config = config;
    self->pipe = self->oldest = &self->own;
    int rc = idem__postgres_target_read(self, &fault);
    if (rc == IDEM_OK)
        rc = idem__pq_load(&self->pq, &fault.error);
    if (rc == IDEM_OK)
        rc = idem__postgres_ready(self, config->deadline_ms, &fault);
    if (rc) {
        close_instance(&self->base);
        return idem__postgres_fault_report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

/* With open=lazy, what is wrong with the URL is told all the same. */
static int prepare(const idem_config *config, void **prepared, idem_error *error)
{
    idem__postgres_fault fault = {0};
    idem__postgres *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->config = config;
    int rc = idem__postgres_target_read(self, &fault);
    free(self);
    *prepared = rc ? NULL : idem__postgres_identity_new();
    if (rc == IDEM_OK && !*prepared)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    return rc ? idem_error_set(error, fault.error.code, "%s", fault.error.message) : IDEM_OK;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_fault fault = {0};
    (void)error; /* every op gets an answer of its own */
    if (idem__postgres_ready(self, deadline_ms, &fault))
        idem__postgres_batch_refuse(self, ops, count, &fault);
    else
        idem__postgres_batch_run(self, ops, count, deadline_ms);
    return IDEM_OK;
}

static int connect_instance(idem_backend *backend, uint64_t deadline_ms, idem_error *error)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_fault fault = {0};
    memset(&self->traffic.fault, 0, sizeof self->traffic.fault);
    self->traffic.leaving = false;
    int rc = idem__postgres_ready(self, deadline_ms, &fault);
    return rc ? idem__postgres_fault_report(&fault, error) : IDEM_OK;
}

static void at_fork(idem_backend *backend, idem_fork_phase phase)
{
    idem__postgres *self = (idem__postgres *)backend;
    if (phase == IDEM_FORK_CHILD)
        idem__postgres_hang_up_child(self);
}

const idem_backend_ops idem__postgres_backend = {
    .size = sizeof(idem_backend_ops),
    .scheme = "postgresql",
    .summary = "a table of a PostgreSQL database that any number of machines share",
    .example = "postgresql://user:password@localhost:5432/app",
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_BACKEND_HOST_LIST,
    .params = idem__postgres_params_table,
    .params_count = IDEM__POSTGRES_PARAMS,
    .instances = 4,
    .open = open_instance,
    .submit = submit,
    .close = close_instance,
    .scan = idem__postgres_slot_scan,
    .purge = idem__postgres_slot_purge,
    .check = idem__postgres_slot_check,
    .at_fork = at_fork,
    .prepare = prepare,
    .dispose = idem__postgres_identity_free,
    .connect = connect_instance,
    .send = idem__postgres_flight_send,
    .receive = idem__postgres_flight_receive,
    .abandon = idem__postgres_flight_abandon,
    .drop = idem__postgres_flight_drop,
    .wants = idem__postgres_flight_wants,
};
