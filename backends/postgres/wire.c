/* SPDX-License-Identifier: MIT */
/*
 * Pipelines. libpq is only ever used without blocking: what it can't send or has not received is
 * waited for here, in both directions at once and by the deadline.
 *
 * `expected` has one entry for each result to come: a statement of the caller's, a prepare, or
 * the pipeline's end. Results of prepares are taken in on the way. The first refusal of a
 * pipeline is remembered; the server skips all statements behind it, up to the end.
 *
 * A commit whose wait for its standbys was cancelled, or whose server is going down, succeeds with
 * a warning: what it changed is there, and may be lost. libpq
 * may hand on a warning before the results in front of it, so any warning that comes with a
 * pipeline counts, but for those with a context: these are from inside of a function, as of a
 * stranger's trigger.
 */
#include "wire.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

enum { EXPECT_STATEMENT = 1, EXPECT_END, EXPECT_PREPARE }; /* the last plus the statement */

#define LARGE_BYTES 65536u

static const char *field(const idem__postgres *self, const PGresult *result, int which)
{
    const char *text = self->pq->PQresultErrorField(result, which);
    return text ? text : "";
}

void idem__postgres_wire_notice(void *user, const PGresult *result)
{
    idem__postgres *self = user;
    const char *severity = field(self, result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)
        self->broken = true; /* said to an idle connection, in front of its end */
    if (strcmp(severity, "WARNING") == 0 && *field(self, result, PG_DIAG_CONTEXT) == '\0')
        self->doubtful = true;
}

uint32_t idem__postgres_wire_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

bool idem__postgres_wire_wait(int fd, short events, uint64_t deadline_ms)
{
    struct pollfd watched = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_ms = idem_monotonic_ms();
        uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
        int ready = poll(&watched, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR && errno != EAGAIN)
            return true; /* what is wrong with it, reading it will tell */
        if (left_ms == 0)
            return false;
    }
}

static int no_memory(idem__postgres *self, idem__postgres_fault *fault)
{
    self->broken = true; /* the pipeline is not whole */
    return idem__postgres_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
}

/* libpq has no code for it, only words. */
static bool is_memory(const idem__postgres *self)
{
    return strstr(self->pq->PQerrorMessage(self->conn), "memory") != NULL;
}

static int lost(idem__postgres *self, idem__postgres_fault *fault)
{
    self->broken = true;
    fault->drop = true;
    if (is_memory(self))
        return no_memory(self, fault);
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                    "%s: the connection was lost", self->name);
}

static int too_late(idem__postgres *self, idem__postgres_fault *fault)
{
    self->broken = true;
    fault->drop = true;
    if (self->last_refusal[0]) /* what the try before was told says more than that time is over */
        return idem__postgres_fault_take(fault, self->name, self->table, self->last_refusal);
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                    "%s did not answer by the deadline: look at its load, and at "
                                    "its synchronous standbys; or set a longer timeout",
                                    self->name);
}

/* ------------------------------------------------------------------------------------ sending */

int idem__postgres_wire_begin(idem__postgres *self, idem__postgres_fault *fault)
{
    self->expected_count = 0;
    self->expected_at = 0;
    self->sqlstate[0] = '\0';
    self->committing = false;
    self->doubtful = false;
    self->preparing = self->prepared;
    if (self->pq->PQpipelineStatus(self->conn) != PQ_PIPELINE_OFF ||
        self->pq->PQenterPipelineMode(self->conn) == 1)
        return IDEM_OK;
    return lost(self, fault);
}

static int expect(idem__postgres *self, int what, idem__postgres_fault *fault)
{
    if (self->expected_count == IDEM__POSTGRES_EXPECTED_MAX) {
        self->broken = true;
        return idem__postgres_fault_set(fault, true, IDEM_ERR_INTERNAL, "a pipeline is too long");
    }
    self->expected[self->expected_count++] = (uint8_t)what;
    return IDEM_OK;
}

/* libpq does not say why it can't queue a message; while the connection stands, it is memory. */
static int not_queued(idem__postgres *self, idem__postgres_fault *fault)
{
    return self->pq->PQstatus(self->conn) == CONNECTION_OK ? no_memory(self, fault)
                                                           : lost(self, fault);
}

/* Sends all that is queued, and takes in what comes meanwhile: the server may send before it
   reads. */
static int push(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    for (;;) {
        int left = pq->PQflush(self->conn);
        if (left < 0)
            return lost(self, fault);
        if (left == 0)
            return IDEM_OK;
        if (!idem__postgres_wire_wait(pq->PQsocket(self->conn), POLLIN | POLLOUT, deadline_ms))
            return too_late(self, fault);
        if (pq->PQconsumeInput(self->conn) == 0)
            return lost(self, fault);
    }
}

static const char *name_of(idem__postgres_sql which, char name[16])
{
    (void)snprintf(name, 16, "idem%d", (int)which);
    return name;
}

static int prepare(idem__postgres *self, idem__postgres_sql which, const char *sql, int count,
                   idem__postgres_fault *fault)
{
    char name[16];
    if (self->preparing & UINT64_C(1) << which)
        return IDEM_OK;
    int rc = expect(self, EXPECT_PREPARE + (int)which, fault);
    if (rc)
        return rc;
    if (!self->pq->PQsendPrepare(self->conn, name_of(which, name), sql, count,
                                 idem__postgres_sql_types(which)))
        return not_queued(self, fault);
    self->preparing |= UINT64_C(1) << which;
    return IDEM_OK;
}

static int queue(idem__postgres *self, idem__postgres_sql which,
                 const idem__postgres_params *params, const char *sql, idem__postgres_fault *fault)
{
    static const int binary[IDEM__POSTGRES_PARAMS_MAX] = {1, 1, 1, 1, 1};
    static const idem__postgres_params none;
    char name[16];
    const idem__postgres_params *with = params ? params : &none;
    int in_binary = idem__postgres_sql_is_text(which) ? 0 : 1;
    int rc = IDEM_OK;
    bool named = idem__postgres_sql_is_kept(which) && !self->unnamed;
    if (named)
        rc = prepare(self, which, sql, with->count, fault);
    if (rc == IDEM_OK)
        rc = expect(self, EXPECT_STATEMENT, fault);
    if (rc)
        return rc;
    int queued = named
                     ? self->pq->PQsendQueryPrepared(self->conn, name_of(which, name), with->count,
                                                     with->values, with->lengths, binary, in_binary)
                     : self->pq->PQsendQueryParams(self->conn, sql, with->count,
                                                   idem__postgres_sql_types(which), with->values,
                                                   with->lengths, binary, in_binary);
    return queued ? IDEM_OK : not_queued(self, fault);
}

int idem__postgres_wire_send(idem__postgres *self, idem__postgres_sql which,
                             const idem__postgres_params *params, uint64_t deadline_ms,
                             idem__postgres_fault *fault)
{
    size_t bytes = 0;
    const char *sql = idem__postgres_sql_text(self, which);
    if (!sql)
        return no_memory(self, fault);
    int rc = queue(self, which, params, sql, fault);
    for (int i = 0; params && i < params->count; i++)
        bytes += (size_t)params->lengths[i];
    return rc || bytes < LARGE_BYTES ? rc : push(self, deadline_ms, fault);
}

int idem__postgres_wire_sync(idem__postgres *self, idem__postgres_fault *fault)
{
    int rc = expect(self, EXPECT_END, fault);
    if (rc)
        return rc;
    self->committing = true;
    return self->pq->PQpipelineSync(self->conn) ? IDEM_OK : not_queued(self, fault);
}

/* ---------------------------------------------------------------------------------- receiving */

/* Waits until a result is there, or none will come. libpq drops a result that it has no memory
   for, and goes on waiting for it; all that it leaves is a message, while the server has
   refused nothing. */
static int await(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    while (pq->PQisBusy(self->conn)) {
        if (self->sqlstate[0] == '\0' && is_memory(self))
            return no_memory(self, fault);
        int left = pq->PQflush(self->conn);
        short events = left > 0 ? POLLIN | POLLOUT : POLLIN;
        if (left < 0 && pq->PQstatus(self->conn) != CONNECTION_OK)
            return IDEM_OK; /* what had come before, libpq gives now */
        if (!idem__postgres_wire_wait(pq->PQsocket(self->conn), events, deadline_ms))
            return too_late(self, fault);
        if (pq->PQconsumeInput(self->conn) == 0)
            return IDEM_OK;
    }
    return IDEM_OK;
}

/* A refusal, which means that the transaction was rolled back; or the end of the connection,
   which libpq reports alike. */
static int refused(idem__postgres *self, const PGresult *result, idem__postgres_fault *fault)
{
    const char *state = field(self, result, PG_DIAG_SQLSTATE);
    if (self->sqlstate[0] == '\0')
        (void)snprintf(self->sqlstate, sizeof self->sqlstate, "%.5s", state);
    if (*state == '\0')
        return self->pq->PQstatus(self->conn) == CONNECTION_OK ? no_memory(self, fault)
                                                               : lost(self, fault);
    /* Behind an error that ends the connection, a commit may have been made all the same. */
    if (strcmp(field(self, result, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR") == 0)
        self->committing = false;
    else
        fault->drop = true;
    if (self->pq->PQstatus(self->conn) != CONNECTION_OK)
        self->broken = true;
    return idem__postgres_fault_take(fault, self->name, self->table, state);
}

/* Judges a result; what is of no use is cleared. */
static int judge(idem__postgres *self, PGresult *result, PGresult **wanted,
                 idem__postgres_fault *fault)
{
    ExecStatusType status = self->pq->PQresultStatus(result);
    int rc = IDEM_OK;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        *wanted = result;
        return IDEM_OK;
    }
    if (status == PGRES_PIPELINE_ABORTED)
        rc = idem__postgres_fault_take(fault, self->name, self->table, self->sqlstate);
    else
        rc = refused(self, result, fault);
    self->pq->PQclear(result);
    return rc;
}

/* One result and the NULL behind it, which libpq has at hand once the result is there. */
static int take(idem__postgres *self, uint64_t deadline_ms, PGresult **result,
                idem__postgres_fault *fault)
{
    int rc = await(self, deadline_ms, fault);
    if (rc)
        return rc;
    PGresult *taken = self->pq->PQgetResult(self->conn);
    if (!taken)
        return self->pq->PQstatus(self->conn) == CONNECTION_OK ? no_memory(self, fault)
                                                               : lost(self, fault);
    rc = judge(self, taken, result, fault);
    if (rc && self->broken)
        return rc;
    int again = await(self, deadline_ms, fault);
    PGresult *more = again ? NULL : self->pq->PQgetResult(self->conn);
    if (again || more) {
        self->pq->PQclear(more);
        self->pq->PQclear(*result);
        *result = NULL;
        return again ? again : lost(self, fault);
    }
    return rc;
}

int idem__postgres_wire_next(idem__postgres *self, uint64_t deadline_ms, PGresult **result,
                             idem__postgres_fault *fault)
{
    int rc = IDEM_OK;
    *result = NULL;
    while (rc == IDEM_OK && self->expected[self->expected_at] >= EXPECT_PREPARE) {
        unsigned which = self->expected[self->expected_at++] - (unsigned)EXPECT_PREPARE;
        rc = take(self, deadline_ms, result, fault);
        if (rc == IDEM_OK)
            self->prepared |= UINT64_C(1) << which;
        self->pq->PQclear(*result);
        *result = NULL;
    }
    if (rc && self->broken)
        return rc;
    self->expected_at++;
    int own = take(self, deadline_ms, result, fault);
    return rc ? rc : own;
}

/* The end itself is no statement: no NULL follows it. An error in front of it is the commit's. */
static int take_end(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    int rc = IDEM_OK;
    for (;;) {
        int waited = await(self, deadline_ms, fault);
        if (waited)
            return waited;
        PGresult *result = pq->PQgetResult(self->conn);
        if (!result && pq->PQstatus(self->conn) == CONNECTION_OK && rc)
            continue; /* the end of an error's results */
        if (!result)
            return lost(self, fault);
        bool ended = pq->PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (!ended)
            rc = refused(self, result, fault);
        pq->PQclear(result);
        if (ended || self->broken)
            return rc;
    }
}

int idem__postgres_wire_finish(idem__postgres *self, uint64_t deadline_ms,
                               idem__postgres_fault *fault)
{
    int rc = IDEM_OK;
    while (!self->broken && self->expected_at + 1 < self->expected_count) {
        PGresult *result;
        rc = idem__postgres_wire_next(self, deadline_ms, &result, fault);
        self->pq->PQclear(result);
    }
    if (self->broken)
        return fault->error.code ? fault->error.code : lost(self, fault);
    int ended = take_end(self, deadline_ms, fault);
    if (ended == IDEM_OK && rc == IDEM_OK)
        self->heard_ms = idem_monotonic_ms();
    return rc ? rc : ended;
}

int idem__postgres_wire_run(idem__postgres *self, idem__postgres_sql which,
                            const idem__postgres_params *params, uint64_t deadline_ms,
                            PGresult **result, idem__postgres_fault *fault)
{
    PGresult *got = NULL;
    int rc = idem__postgres_wire_begin(self, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_send(self, which, params, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_sync(self, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_next(self, deadline_ms, &got, fault);
    if (!self->broken) {
        int ended = idem__postgres_wire_finish(self, deadline_ms, fault);
        rc = rc ? rc : ended;
    }
    if (result && rc == IDEM_OK)
        *result = got;
    else
        self->pq->PQclear(got);
    return rc;
}
