/* SPDX-License-Identifier: MIT */
/*
 * A store on the caller's own connection: the same table and statements, inside the transaction
 * that the caller has open, or in one of our own if there is none.
 *
 * The connection is given back as it was taken: out of pipeline mode, with its notice receiver,
 * blocking or not, and its transaction in the state that it was in. The one exception is a
 * deadline that comes while the server does not answer: then the socket is shut down, so that
 * caller and server agree that the transaction is gone.
 *
 * Every failure inside a caller's transaction is permanent. A repeat could find the transaction
 * ended, and would write outside of it what the caller believes to be in it.
 */
#include "join.h"

#include <idem/postgres.h>

#include "batch.h"
#include "schema.h"
#include "ops.h"
#include "target.h"
#include "wire.h"

#include <stdlib.h>
#include <sys/socket.h>

#define GRACE_MS 100u

static const idem_backend_ops joined_backend;

static const idem_param params[] = {
    [IDEM__POSTGRES_TABLE] = {.name = "table",
                              .type = IDEM_PARAM_TEXT,
                              .fallback = "idem_record",
                              .help = "the table of the records"},
};

static int refuse(const char *says, idem__postgres_fault *fault)
{
    return idem__postgres_fault_set(fault, true, IDEM_ERR_ARGUMENT, "your connection %s", says);
}

static int check_state(idem__postgres *self, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    if (pq->PQstatus(self->conn) != CONNECTION_OK)
        return idem__postgres_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                        "your connection is lost, and your transaction with it: "
                                        "connect again");
    if (pq->PQpipelineStatus(self->conn) != PQ_PIPELINE_OFF)
        return refuse("is in pipeline mode: leave it (PQexitPipelineMode) before the store is "
                      "called",
                      fault);
    switch (pq->PQtransactionStatus(self->conn)) {
    case PQTRANS_IDLE:
    case PQTRANS_INTRANS:
        return IDEM_OK;
    case PQTRANS_INERROR:
        return idem__postgres_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                        "your transaction has failed, and the server takes nothing "
                                        "more in it: roll it back");
    case PQTRANS_ACTIVE:
    case PQTRANS_UNKNOWN:
    default:
        return refuse("has a query under way: take all of its results before the store is called",
                      fault);
    }
}

uint64_t idem__postgres_join_deadline(uint64_t deadline_ms)
{
    uint64_t least_ms = idem_monotonic_ms() + GRACE_MS;
    return deadline_ms > least_ms ? deadline_ms : least_ms;
}

/* A commit of ours may come with a warning: see wire.c. The caller is told of it all the same. */
static void overhear(void *user, const PGresult *result)
{
    idem__postgres *self = user;
    idem__postgres_wire_notice(self, result);
    self->libpqs_receiver(NULL, result);
}

/* libpq does not tell what a receiver was to be called with, so one of the caller's could not be
   put back: only libpq's own is stood in for, which hands on to the caller's notice processor. It
   is found out from a connection that leads nowhere. */
static int find_receiver(idem__postgres *self, idem__postgres_fault *fault)
{
    static const char *const names[] = {"idem", NULL};
    static const char *const values[] = {"no option", NULL};
    PGconn *nowhere = self->pq->PQconnectStartParams(names, values, 0);
    if (!nowhere)
        return idem__postgres_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    self->libpqs_receiver = self->pq->PQsetNoticeReceiver(nowhere, NULL, NULL);
    self->pq->PQfinish(nowhere);
    return IDEM_OK;
}

int idem__postgres_join_enter(idem__postgres *self, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    int rc = check_state(self, fault);
    if (rc)
        return rc;
    self->broken = false;
    self->late = false;
    self->no_memory = false;
    self->pipe = self->oldest = &self->own;
    self->nested = pq->PQtransactionStatus(self->conn) == PQTRANS_INTRANS;
    self->was_nonblocking = pq->PQisnonblocking(self->conn) != 0;
    if (pq->PQsetnonblocking(self->conn, 1) == 0) {
        self->overhears = pq->PQsetNoticeReceiver(self->conn, NULL, NULL) == self->libpqs_receiver;
        if (self->overhears)
            (void)pq->PQsetNoticeReceiver(self->conn, overhear, self);
        return IDEM_OK;
    }
    return idem__postgres_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                    "your connection is lost: connect again");
}

/* What is under way can't be taken back: the caller's transaction ends, and libpq is made to
   see it. */
static void cut(idem__postgres *self)
{
    int fd = self->pq->PQsocket(self->conn);
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
    while (self->pq->PQconsumeInput(self->conn) != 0 &&
           self->pq->PQstatus(self->conn) == CONNECTION_OK)
        continue;
}

bool idem__postgres_join_leave(idem__postgres *self)
{
    bool stands = !self->broken && self->pq->PQexitPipelineMode(self->conn);
    bool lost = self->nested && !stands;
    if (!stands)
        cut(self);
    if (self->overhears)
        (void)self->pq->PQsetNoticeReceiver(self->conn, self->libpqs_receiver, NULL);
    if (!self->was_nonblocking)
        (void)self->pq->PQsetnonblocking(self->conn, 0);
    self->nested = false;
    return !lost;
}

int idem__postgres_join_tell_gone(const idem__postgres *self, idem__postgres_fault *fault)
{
    return idem__postgres_fault_set(
        fault, true, self->no_memory ? IDEM_ERR_NO_MEMORY : IDEM_ERR_UNAVAILABLE,
        "your connection was lost in the middle of the call%s, and your transaction is gone with "
        "it: begin a new one",
        self->no_memory ? ", for want of memory" : "");
}

/* ---------------------------------------------------------------------------------- the slots */

static void close_instance(idem_backend *backend)
{
    idem__postgres_free((idem__postgres *)backend);
}

static int prepare_table(idem__postgres *self, const idem_config *config,
                         idem__postgres_fault *fault)
{
    int rc = idem__postgres_target_table(self, config->values[IDEM__POSTGRES_TABLE].text, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_join_enter(self, fault);
    if (rc)
        return rc;
    rc = idem__postgres_schema_ensure(self, config->deadline_ms, fault);
    (void)idem__postgres_join_leave(self);
    /* The caller's role may be another one by then: what it may do, the server says each time. */
    self->may_read = true;
    self->may_write = true;
    return rc;
}

static int open_instance(const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__postgres_fault fault = {0};
    idem__postgres *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->base.ops = &joined_backend;
    self->config = config;
    self->conn = config->context;
    self->pipe = self->oldest = &self->own;
    self->joined = true;
    self->unnamed = true;
    memcpy(self->name, "PostgreSQL", sizeof "PostgreSQL");
    int rc = idem__pq_load(&self->pq, &fault.error);
    if (rc == IDEM_OK)
        rc = find_receiver(self, &fault);
    if (rc == IDEM_OK)
        rc = prepare_table(self, config, &fault);
    if (rc) {
        close_instance(&self->base);
        return idem__postgres_fault_report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

/* Where a call began, as its ops carry it along. */
enum { OUTSIDE = 1, INSIDE = 2 | IDEM_CONTEXT_REVOCABLE };

/* A call that has lost the transaction that it began in must not go on outside of it, nor enter
   another one.
   @return how many ops may be carried out */
static size_t keep_in_place(const idem__postgres *self, idem_op *const *ops, size_t count,
                            idem_op **kept)
{
    uint8_t here = self->nested ? INSIDE : OUTSIDE;
    size_t kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->context != 0 && ops[i]->context != here) {
            idem_op_fail(
                ops[i], true, IDEM_ERR_UNAVAILABLE,
                "the transaction on your connection has changed in the middle of the call, "
                "and nothing was written: begin it again");
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
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_fault fault = {0};
    (void)error; /* every op gets an answer of its own */
    if (idem__postgres_join_enter(self, &fault)) {
        idem__postgres_batch_refuse(self, ops, count, &fault);
        return IDEM_OK;
    }
    size_t kept_count = keep_in_place(self, ops, count, kept);
    if (kept_count > 0)
        idem__postgres_batch_run(self, kept, kept_count, idem__postgres_join_deadline(deadline_ms));
    if (idem__postgres_join_leave(self))
        return IDEM_OK;
    for (size_t i = 0; i < kept_count; i++) {
        if (kept[i]->error.code)
            continue;
        idem__postgres_jobs_take_back(kept[i]);
        (void)idem__postgres_join_tell_gone(self, &fault);
        idem_op_fail(kept[i], true, fault.error.code, "%s", fault.error.message);
    }
    return IDEM_OK;
}

static const idem_backend_ops joined_backend = {
    .size = sizeof(idem_backend_ops),
    .scheme = "postgresql-on",
    .summary = "the caller's own PostgreSQL connection",
    .example = "idem_postgres_open_on()",
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_BACKEND_NO_BACKGROUND,
    .params = params,
    .params_count = sizeof params / sizeof params[0],
    .instances = 1,
    .open = open_instance,
    .submit = submit,
    .close = close_instance,
    .scan = idem__postgres_slot_scan,
    .purge = idem__postgres_slot_purge,
    .check = idem__postgres_slot_check,
};

int idem_postgres_open_on(PGconn *conn, const char *options, idem_store **store, idem_error *error)
{
    const idem__pq *pq;
    /* The core clears the error of its own call; this one returns before. */
    if (error)
        memset(error, 0, sizeof *error);
    if (!conn)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the connection is NULL");
    int rc = idem__pq_load(&pq, error);
    if (rc)
        return rc;
    if (pq->PQtransactionStatus(conn) == PQTRANS_INTRANS ||
        pq->PQtransactionStatus(conn) == PQTRANS_INERROR)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a transaction is open on the connection: open the store before it, "
                              "or after it has ended");
    return idem_open_backend(&joined_backend, conn, options, store, error);
}
