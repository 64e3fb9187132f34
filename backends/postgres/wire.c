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
 * stranger's trigger. Sessions and transactions of ours have warnings told, whatever a role or a
 * database has set (client_min_messages).
 */
#include "wire.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

enum { EXPECT_STATEMENT = 1, EXPECT_END, EXPECT_PREPARE }; /* the last plus the statement */

#define LARGE_BYTES 65536u
#define PEEK_US     1000u /* how finely the progress of a result is told */

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
        self->oldest->doubtful = true;
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
    self->no_memory = true;
    return idem__postgres_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
}

/* libpq has no code for it, only words. */
static bool is_memory(const idem__postgres *self)
{
    return strstr(self->pq->PQerrorMessage(self->conn), "memory") != NULL;
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

static int lost(idem__postgres *self, idem__postgres_fault *fault)
{
    self->broken = true;
    fault->drop = true;
    if (self->late)
        return too_late(self, fault);
    if (is_memory(self))
        return no_memory(self, fault);
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                    "%s: the connection was lost", self->name);
}

int idem__postgres_wire_tell_lost(idem__postgres *self, idem__postgres_fault *fault)
{
    return lost(self, fault);
}

/* ------------------------------------------------------------------------------------ sending */

void idem__postgres_wire_forget(idem__postgres *self, idem__postgres_pipeline *pipe)
{
    for (size_t i = pipe->results_at; i < pipe->results_count; i++)
        self->pq->PQclear(pipe->results[i]);
    memset(pipe, 0, offsetof(idem__postgres_pipeline, expected));
}

int idem__postgres_wire_begin(idem__postgres *self, idem__postgres_fault *fault)
{
    idem__postgres_wire_forget(self, self->pipe);
    if (self->pq->PQpipelineStatus(self->conn) != PQ_PIPELINE_OFF ||
        self->pq->PQenterPipelineMode(self->conn) == 1)
        return IDEM_OK;
    return lost(self, fault);
}

static int expect(idem__postgres *self, int what, idem__postgres_fault *fault)
{
    if (self->pipe->expected_count == IDEM__POSTGRES_EXPECTED_MAX) {
        self->broken = true;
        return idem__postgres_fault_set(fault, true, IDEM_ERR_INTERNAL, "a pipeline is too long");
    }
    self->pipe->expected[self->pipe->expected_count++] = (uint8_t)what;
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
        if (!idem__postgres_wire_read(self))
            return lost(self, fault);
    }
}

static const char *name_of(idem__postgres_sql which, char name[16])
{
    memcpy(name, "idem", 4);
    name[4] = (char)('0' + which / 10);
    name[5] = (char)('0' + which % 10);
    name[6] = '\0';
    return name;
}

static int prepare(idem__postgres *self, idem__postgres_sql which, const char *sql, int count,
                   idem__postgres_fault *fault)
{
    char name[16];
    if ((self->prepared | self->pipe->preparing) & UINT64_C(1) << which)
        return IDEM_OK;
    int rc = expect(self, EXPECT_PREPARE + (int)which, fault);
    if (rc)
        return rc;
    if (!self->pq->PQsendPrepare(self->conn, name_of(which, name), sql, count,
                                 idem__postgres_sql_types(which)))
        return not_queued(self, fault);
    self->pipe->preparing |= UINT64_C(1) << which;
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
    if (rc || bytes < LARGE_BYTES)
        return rc;
    if (self->traffic.waits || self->pipe == &self->own)
        return push(self, deadline_ms, fault);
    return self->pq->PQflush(self->conn) < 0 ? lost(self, fault) : IDEM_OK;
}

int idem__postgres_wire_sync(idem__postgres *self, idem__postgres_fault *fault)
{
    int rc = expect(self, EXPECT_END, fault);
    if (rc)
        return rc;
    self->pipe->committing = true;
    return self->pq->PQpipelineSync(self->conn) ? IDEM_OK : not_queued(self, fault);
}

/* ---------------------------------------------------------------------------------- receiving */

/* libpq gives a NULL behind each statement's results, and none behind the pipeline's end. */
static void keep(idem__postgres *self, idem__postgres_pipeline *pipe, PGresult *result)
{
    const idem__pq *pq = self->pq;
    if (!result && pipe->between) {
        pipe->between = false;
        return;
    }
    if (!result || pipe->between || pipe->results_count > IDEM__POSTGRES_EXPECTED_MAX) {
        pq->PQclear(result);
        pipe->lost = true;
        return;
    }
    ExecStatusType status = pq->PQresultStatus(result);
    pipe->results[pipe->results_count++] = result;
    pipe->ended = status == PGRES_PIPELINE_SYNC;
    pipe->between = !pipe->ended;
    if (status == PGRES_FATAL_ERROR && *field(self, result, PG_DIAG_SQLSTATE))
        pipe->refused = true; /* by the server, not by libpq */
}

void idem__postgres_wire_collect(idem__postgres *self, idem__postgres_pipeline *pipe, bool over)
{
    const idem__pq *pq = self->pq;
    while (!pipe->ended && !pipe->lost && (!pq->PQisBusy(self->conn) || over))
        keep(self, pipe, pq->PQgetResult(self->conn));
    /* libpq drops a result that it has no memory for, and goes on waiting for it; all that it
       leaves is a message, while the server has refused nothing. */
    if (!pipe->ended && !pipe->refused && is_memory(self))
        pipe->lost = true;
}

/* Looks whether bytes have come, before libpq takes them. That costs a third of a short read, so it
   is done now and then: what lands quickly counts when it does. */
static void note_progress(idem__postgres *self)
{
    char byte;
    uint32_t now_us = idem__postgres_wire_now_us();
    if (now_us - self->peeked_us < PEEK_US)
        return;
    self->peeked_us = now_us;
    self->progress += recv(self->pq->PQsocket(self->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Over TLS a part of what was read may be left in OpenSSL, where no poll() sees it: libpq reads as
   much as its buffer has room for, and a record of TLS may be larger. */
static bool has_more(const idem__postgres *self)
{
    const idem__pq *pq = self->pq;
    const void *ssl = pq->PQsslInUse(self->conn) ? pq->PQsslStruct(self->conn, "OpenSSL") : NULL;
    return ssl && pq->ssl_pending && pq->ssl_pending(ssl) > 0;
}

bool idem__postgres_wire_read(idem__postgres *self)
{
    note_progress(self);
    do {
        if (self->pq->PQconsumeInput(self->conn) == 0)
            return false;
    } while (has_more(self));
    return true;
}

/* Waits until more results are there, or none will come. */
static int await(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    idem__postgres_pipeline *pipe = self->pipe;
    size_t had = pipe->results_count;
    bool over = false;
    for (;;) {
        idem__postgres_wire_collect(self, pipe, over);
        if (pipe->results_count > had || pipe->ended || pipe->lost)
            return IDEM_OK;
        int left = pq->PQflush(self->conn);
        over = left < 0 && pq->PQstatus(self->conn) != CONNECTION_OK;
        if (over)
            continue; /* what had come before, libpq gives now */
        short events = left > 0 ? POLLIN | POLLOUT : POLLIN;
        if (!idem__postgres_wire_wait(pq->PQsocket(self->conn), events, deadline_ms))
            return too_late(self, fault);
        over = !idem__postgres_wire_read(self);
    }
}

/* A refusal, which means that the transaction was rolled back; or the end of the connection,
   which libpq reports alike. */
static int refused(idem__postgres *self, const PGresult *result, idem__postgres_fault *fault)
{
    const char *state = field(self, result, PG_DIAG_SQLSTATE);
    if (self->pipe->sqlstate[0] == '\0')
        (void)snprintf(self->pipe->sqlstate, sizeof self->pipe->sqlstate, "%.5s", state);
    if (*state == '\0')
        return self->pq->PQstatus(self->conn) == CONNECTION_OK ? no_memory(self, fault)
                                                               : lost(self, fault);
    /* Behind an error that ends the connection, a commit may have been made all the same. */
    if (strcmp(field(self, result, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR") == 0)
        self->pipe->committing = false;
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
        rc = idem__postgres_fault_take(fault, self->name, self->table, self->pipe->sqlstate);
    else
        rc = refused(self, result, fault);
    self->pq->PQclear(result);
    return rc;
}

/* One result, which has to be waited for unless the pipeline has been collected. */
static int take_result(idem__postgres *self, uint64_t deadline_ms, PGresult **result,
                       idem__postgres_fault *fault)
{
    idem__postgres_pipeline *pipe = self->pipe;
    while (pipe->results_at == pipe->results_count) {
        if (pipe->lost || pipe->ended)
            return self->pq->PQstatus(self->conn) == CONNECTION_OK && !self->late
                       ? no_memory(self, fault)
                       : lost(self, fault);
        int rc = await(self, deadline_ms, fault);
        if (rc)
            return rc;
    }
    *result = pipe->results[pipe->results_at++];
    return IDEM_OK;
}

static int take(idem__postgres *self, uint64_t deadline_ms, PGresult **result,
                idem__postgres_fault *fault)
{
    PGresult *taken = NULL;
    int rc = take_result(self, deadline_ms, &taken, fault);
    if (rc)
        return rc;
    if (self->pq->PQresultStatus(taken) != PGRES_PIPELINE_SYNC)
        return judge(self, taken, result, fault);
    self->pq->PQclear(taken);
    return lost(self, fault);
}

int idem__postgres_wire_next(idem__postgres *self, uint64_t deadline_ms, PGresult **result,
                             idem__postgres_fault *fault)
{
    int rc = IDEM_OK;
    *result = NULL;
    while (rc == IDEM_OK && self->pipe->expected[self->pipe->expected_at] >= EXPECT_PREPARE) {
        unsigned which = self->pipe->expected[self->pipe->expected_at++] - (unsigned)EXPECT_PREPARE;
        rc = take(self, deadline_ms, result, fault);
        if (rc == IDEM_OK)
            self->prepared |= UINT64_C(1) << which;
        self->pq->PQclear(*result);
        *result = NULL;
    }
    if (rc && self->broken)
        return rc;
    self->pipe->expected_at++;
    int own = take(self, deadline_ms, result, fault);
    return rc ? rc : own;
}

/* An error in front of the end is the commit's. */
static int take_end(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    int rc = IDEM_OK;
    for (;;) {
        PGresult *result = NULL;
        int waited = take_result(self, deadline_ms, &result, fault);
        if (waited)
            return waited;
        bool ended = self->pq->PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (!ended)
            rc = refused(self, result, fault);
        self->pq->PQclear(result);
        if (ended || self->broken)
            return rc;
    }
}

/* What has come as a whole counts, whatever became of the connection behind it. */
static bool is_over(const idem__postgres *self)
{
    return self->broken && !self->pipe->ended;
}

int idem__postgres_wire_finish(idem__postgres *self, uint64_t deadline_ms,
                               idem__postgres_fault *fault)
{
    int rc = IDEM_OK;
    while (!is_over(self) && self->pipe->expected_at + 1 < self->pipe->expected_count) {
        PGresult *result;
        rc = idem__postgres_wire_next(self, deadline_ms, &result, fault);
        self->pq->PQclear(result);
    }
    if (is_over(self))
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
    self->pipe = self->oldest = &self->own;
    int rc = idem__postgres_wire_begin(self, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_send(self, which, params, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_sync(self, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_next(self, deadline_ms, &got, fault);
    if (!is_over(self)) {
        int ended = idem__postgres_wire_finish(self, deadline_ms, fault);
        rc = rc ? rc : ended;
    }
    if (result && rc == IDEM_OK)
        *result = got;
    else
        self->pq->PQclear(got);
    return rc;
}
