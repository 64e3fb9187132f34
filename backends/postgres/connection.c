/* SPDX-License-Identifier: MIT */
/*
 * The connection of a store that was opened by URL. It is made with the instance, and again by
 * the next call when it was lost, when the server has ended it, or in the child of a fork(). One
 * that was answered a moment ago is not looked at before it is used.
 *
 * A session of our own has settings of its own: commits are waited for, and statements run in
 * READ COMMITTED, whatever the database's defaults are; nothing but the deadline ends them. A plan
 * is made once, while the table may still be small: so it never is a walk over the table, and it
 * is not compiled. Behind a pooler a session is others' too, so there each transaction has them
 * for itself.
 */
#include "connection.h"

#include "dial.h"
#include "schema.h"
#include "target.h"
#include "wire.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#define WARM_MS 10u

void idem__postgres_lock_text(uint64_t ms, char text[24])
{
    (void)snprintf(text, 24, "%" PRIu64 "ms", ms ? ms : 1);
}

/* How far the server is: a pipeline of nothing. */
static int measure(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    uint32_t began_us = idem__postgres_wire_now_us();
    int rc = idem__postgres_wire_begin(self, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_sync(self, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_finish(self, deadline_ms, fault);
    self->round_trip_us = idem__postgres_wire_now_us() - began_us;
    return rc;
}

static int set_up(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    char text[24];
    idem__postgres_params params = {0};
    int rc = idem__postgres_schema_ensure(self, deadline_ms, fault);
    if (rc || self->pooled)
        return rc;
    idem__postgres_lock_text(IDEM__POSTGRES_LOCK_MS, text);
    idem__postgres_param_text(&params, text);
    rc = idem__postgres_wire_run(self, IDEM__POSTGRES_SESSION, &params, deadline_ms, NULL, fault);
    return rc ? rc : measure(self, deadline_ms, fault);
}

/* True if the server has neither ended the session nor sent anything unasked. */
static bool is_usable(idem__postgres *self)
{
    const idem__pq *pq = self->pq;
    if (!self->conn || self->broken || pq->PQstatus(self->conn) != CONNECTION_OK)
        return false;
    while (idem__postgres_wire_wait(pq->PQsocket(self->conn), POLLIN, 0)) {
        if (pq->PQconsumeInput(self->conn) == 0 || pq->PQisBusy(self->conn) || self->broken ||
            pq->PQstatus(self->conn) != CONNECTION_OK)
            return false;
    }
    return true;
}

int idem__postgres_ready(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    uint64_t now_ms = idem_monotonic_ms();
    if (self->traffic.wire.first)
        return IDEM_OK; /* what becomes of it, its answers will tell */
    if (deadline_ms > 0 && now_ms >= deadline_ms)
        return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                        "the deadline came before %s could be asked: set a longer "
                                        "timeout",
                                        self->name);
    bool warm = self->conn && !self->broken && now_ms - self->heard_ms < WARM_MS;
    if (warm || is_usable(self))
        return IDEM_OK;
    if (deadline_ms == 0)
        return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                        "there is no connection to %s", self->name);
    idem__postgres_hang_up(self);
    self->pipe = self->oldest = &self->own;
    uint64_t limit_ms = idem__postgres_target_limit_ms(self);
    uint64_t until_ms = limit_ms < deadline_ms - now_ms ? now_ms + limit_ms : deadline_ms;
    int rc = idem__postgres_dial(self, until_ms, fault);
    if (rc == IDEM_OK)
        rc = set_up(self, deadline_ms, fault);
    if (rc)
        idem__postgres_hang_up(self);
    if (rc && idem_monotonic_ms() >= deadline_ms && self->last_refusal[0]) {
        /* What the server has said to the try before tells more than that time is over. */
        memset(fault, 0, sizeof *fault);
        rc = idem__postgres_fault_take(fault, self->name, self->table, self->last_refusal);
    }
    return rc;
}

void idem__postgres_learn_refusal(idem__postgres *self, const idem__postgres_fault *fault)
{
    memcpy(self->last_refusal, fault->sqlstate, sizeof fault->sqlstate);
    if (strcmp(fault->sqlstate, "26000") == 0 || strcmp(fault->sqlstate, "42P05") == 0)
        self->hidden_pooler = true;
}

void idem__postgres_done(idem__postgres *self, const idem__postgres_fault *fault)
{
    if (self->joined)
        return;
    idem__postgres_learn_refusal(self, fault);
    if (self->broken || fault->drop)
        idem__postgres_hang_up(self);
}
