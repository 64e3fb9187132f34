/* SPDX-License-Identifier: MIT */
/*
 * The flights of a connection: a queue of those that wait to be sent, and one of those that are on
 * the wire. Results come in the order of the wire; a flight is looked at when all of its results
 * are here. Nothing here waits, but for settle().
 *
 * One transaction at a time is on the wire where it has a name of its own: behind a pooler, and on
 * a connection of the caller's. So it is while a statement is being prepared: a flight that relies
 * on it must not be sent before it is known that it is there.
 */
#include "flight.h"

#include "batch.h"
#include "connection.h"
#include "dial.h"
#include "wire.h"

#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NEAR_US        300u /* as in batch.c */
#define NEAR_FLIGHTS   2u   /* one is carried out, one is on its way */
#define FAR_FLIGHTS    8u
#define SEND_BYTES_MAX 1048576u /* of one flight, but for its last op */
#define WAITING_MAX    16u      /* flights whose callers were all gone when the next one came */

/* ------------------------------------------------------------------------------------- queues */

static void push(idem__postgres_queue *queue, idem__postgres_flight *flight)
{
    flight->next = NULL;
    if (queue->last)
        queue->last->next = flight;
    else
        queue->first = flight;
    queue->last = flight;
    queue->count++;
}

static void push_first(idem__postgres_queue *queue, idem__postgres_flight *flight)
{
    flight->next = queue->first;
    queue->first = flight;
    if (!queue->last)
        queue->last = flight;
    queue->count++;
}

static idem__postgres_flight *pop(idem__postgres_queue *queue)
{
    idem__postgres_flight *flight = queue->first;
    if (!flight)
        return NULL;
    queue->first = flight->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    return flight;
}

/* The jobs and the pipeline are large, and set where they are used. */
idem__postgres_flight *idem__postgres_flight_new(idem__postgres *self,
                                                 idem__postgres_purpose purpose)
{
    idem__postgres_flight *flight = self->traffic.spare;
    if (flight)
        self->traffic.spare = flight->next;
    else
        flight = malloc(sizeof *flight);
    if (!flight)
        return NULL;
    memset(flight, 0, offsetof(idem__postgres_flight, all));
    memset(&flight->all, 0, offsetof(idem__postgres_jobs, jobs));
    memset(&flight->pipe, 0, offsetof(idem__postgres_pipeline, expected));
    flight->purpose = purpose;
    flight->all.self = self;
    flight->all.deadline_ms = self->traffic.deadline_ms;
    return flight;
}

void idem__postgres_flight_free(idem__postgres *self, idem__postgres_flight *flight)
{
    idem__postgres_wire_forget(self, &flight->pipe);
    flight->next = self->traffic.spare;
    self->traffic.spare = flight;
}

void idem__postgres_flight_enqueue(idem__postgres *self, idem__postgres_flight *flight, bool first)
{
    if (first)
        push_first(&self->traffic.waiting, flight);
    else
        push(&self->traffic.waiting, flight);
}

void idem__postgres_flight_give(idem__postgres *self, idem_op *op)
{
    idem__postgres_traffic *traffic = &self->traffic;
    if (op && traffic->done_count < IDEM__POSTGRES_LIVE_MAX)
        traffic->done[traffic->done_count++] = op;
}

void idem__postgres_flight_clear(idem__postgres *self)
{
    idem__postgres_traffic *traffic = &self->traffic;
    idem__postgres_flight *flight;
    while ((flight = pop(&traffic->wire)) || (flight = pop(&traffic->waiting)))
        idem__postgres_flight_free(self, flight);
    while ((flight = traffic->spare)) {
        traffic->spare = flight->next;
        free(flight);
    }
    memset(traffic, 0, sizeof *traffic);
    self->pipe = self->oldest = &self->own;
}

/* ------------------------------------------------------------------------------------- sending */

static bool may_send(const idem__postgres *self)
{
    const idem__postgres_queue *wire = &self->traffic.wire;
    size_t most = self->round_trip_us < NEAR_US ? NEAR_FLIGHTS : FAR_FLIGHTS;
    if (!self->conn || self->broken)
        return false;
    if (wire->count == 0)
        return true;
    for (const idem__postgres_flight *at = wire->first; at; at = at->next) {
        if (at->pipe.preparing)
            return false;
    }
    return wire->count < most && !self->pooled && !self->joined;
}

/* What can't be sent as a whole is on the wire all the same where something of it was. */
static void send_flight(idem__postgres *self, idem__postgres_flight *flight)
{
    idem__postgres_queue *wire = &self->traffic.wire;
    idem__postgres_jobs_forget(&flight->all);
    if (flight->all.count == 0 && flight->purpose != IDEM__POSTGRES_FLIES_UNDO) {
        idem__postgres_flight_free(self, flight);
        return;
    }
    if (flight->purpose != IDEM__POSTGRES_FLIES_READ)
        memset(&flight->why, 0, sizeof flight->why);
    flight->alone = wire->count == 0;
    flight->began_us = idem__postgres_wire_now_us();
    self->pipe = &flight->pipe;
    if (flight->alone)
        self->oldest = &flight->pipe;
    idem__postgres_fault fault = {0};
    int rc = idem__postgres_batch_send(flight, &fault);
    if (rc)
        flight->why = fault;
    push(wire, flight);
}

/* Sends what waits, as far as it may be sent. */
static void pump(idem__postgres *self)
{
    while (self->traffic.waiting.first && may_send(self))
        send_flight(self, pop(&self->traffic.waiting));
    if (self->conn && self->traffic.wire.count > 0 && !self->broken)
        (void)self->pq->PQflush(self->conn); /* the receiving thread sees a failure */
}

/* ----------------------------------------------------------------------------------- receiving */

static void land(idem__postgres *self)
{
    idem__postgres_flight *flight = pop(&self->traffic.wire);
    self->progress++;
    self->pipe = &flight->pipe;
    self->oldest = self->traffic.wire.first ? &self->traffic.wire.first->pipe : &self->own;
    idem__postgres_batch_land(flight);
    self->pipe = &self->own;
}

/* The connection is over: all that is under way is answered. */
static void fail_all(idem__postgres *self)
{
    idem__postgres_traffic *traffic = &self->traffic;
    idem__postgres_flight *flight;
    self->broken = true;
    while (traffic->wire.first) {
        traffic->wire.first->pipe.lost = !traffic->wire.first->pipe.ended;
        land(self);
    }
    while ((flight = pop(&traffic->waiting))) {
        idem__postgres_fault fault = {0};
        self->pipe = &flight->pipe;
        (void)idem__postgres_wire_tell_lost(self, &fault);
        idem__postgres_batch_fail(flight, &fault);
    }
    self->pipe = &self->own;
}

/* Takes in what has come. @param over  the connection is */
static void take_in(idem__postgres *self, bool over)
{
    idem__postgres_traffic *traffic = &self->traffic;
    while (traffic->wire.first && !self->broken) {
        idem__postgres_pipeline *pipe = &traffic->wire.first->pipe;
        idem__postgres_wire_collect(self, pipe, over);
        if (!pipe->ended)
            break;
        land(self);
        pump(self);
    }
    bool lost = traffic->wire.first && traffic->wire.first->pipe.lost;
    if (self->broken || lost || over || self->pq->PQstatus(self->conn) != CONNECTION_OK)
        fail_all(self);
}

/* Reads what has come, and sends what was left. @return the connection is over */
static bool exchange(idem__postgres *self)
{
    const idem__pq *pq = self->pq;
    bool over = !idem__postgres_wire_read(self);
    return over || (pq->PQflush(self->conn) < 0 && pq->PQstatus(self->conn) != CONNECTION_OK);
}

static bool is_under_way(const idem__postgres *self)
{
    return self->traffic.wire.first || self->traffic.waiting.first;
}

static bool await(idem__postgres *self, uint64_t deadline_ms)
{
    if (!self->pq->PQisBusy(self->conn))
        return true;
    int left = self->pq->PQflush(self->conn);
    return idem__postgres_wire_wait(self->pq->PQsocket(self->conn),
                                    left > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ms);
}

void idem__postgres_flight_settle(idem__postgres *self, uint64_t deadline_ms)
{
    if (!is_under_way(self))
        return;
    pump(self);
    take_in(self, false);
    while (is_under_way(self)) {
        if (!await(self, deadline_ms)) {
            self->late = true;
            fail_all(self);
            break;
        }
        take_in(self, exchange(self));
    }
}

/* --------------------------------------------------------------------------------------- slots */

static size_t bytes_of(const idem_op *op)
{
    return op->key.len + (op->record ? op->record->response.len + op->record->checkpoint.len : 0);
}

static size_t count_for_flight(const idem__postgres *self, idem_op *const *ops, size_t count)
{
    size_t room = IDEM__POSTGRES_LIVE_MAX - self->traffic.live;
    size_t most = room < IDEM_BATCH_MAX ? room : IDEM_BATCH_MAX;
    size_t bytes = 0;
    size_t taken = 0;
    while (taken < count && taken < most && bytes < SEND_BYTES_MAX)
        bytes += bytes_of(ops[taken++]);
    return taken;
}

size_t idem__postgres_flight_send(idem_backend *backend, idem_op *const *ops, size_t count)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_traffic *traffic = &self->traffic;
    if (count == 0) { /* what was left is to be sent */
        if (self->conn && !self->broken)
            (void)self->pq->PQflush(self->conn);
        return 0;
    }
    if (traffic->waiting.count >= WAITING_MAX)
        idem__postgres_flight_drop(backend);
    bool over = !self->conn || self->broken;
    bool full = over || traffic->leaving || traffic->waiting.first || !may_send(self);
    if (traffic->live > 0 && full)
        return 0;
    size_t taken = count_for_flight(self, ops, count);
    traffic->live += taken;
    traffic->deadline_ms = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->deadline_ms > 0 && ops[i]->deadline_ms < traffic->deadline_ms)
            traffic->deadline_ms = ops[i]->deadline_ms;
    }
    if (!over) {
        idem__postgres_batch_begin(self, ops, taken);
        pump(self);
        return taken;
    }
    idem__postgres_fault fault = traffic->fault;
    (void)idem__postgres_wire_tell_lost(self, &fault);
    for (size_t i = 0; i < taken; i++) {
        idem_op_fail(ops[i], false, fault.error.code, "%s", fault.error.message);
        idem__postgres_flight_give(self, ops[i]);
    }
    return taken;
}

static void give_back(idem__postgres_traffic *traffic, idem_op **done, size_t room, size_t *count)
{
    size_t given = traffic->done_count < room ? traffic->done_count : room;
    *count = given;
    if (given == 0)
        return;
    memcpy(done, traffic->done, given * sizeof done[0]);
    traffic->done_count -= given;
    memmove(traffic->done, traffic->done + given, traffic->done_count * sizeof traffic->done[0]);
    traffic->live -= given;
}

int idem__postgres_flight_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                                  idem_error *error)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_traffic *traffic = &self->traffic;
    if (self->conn)
        take_in(self, exchange(self));
    bool left = traffic->leaving && !is_under_way(self);
    if (self->conn && (self->broken || left)) {
        if (!left)
            (void)idem__postgres_wire_tell_lost(self, &traffic->fault);
        idem__postgres_hang_up(self);
    }
    give_back(traffic, done, room, count);
    if (self->conn)
        return IDEM_OK;
    idem__postgres_fault unknown = traffic->fault;
    int rc = idem__postgres_fault_set(&unknown, false, IDEM_ERR_UNAVAILABLE,
                                      "%s: the connection was lost", self->name);
    return idem_error_set(error, rc, "%s", unknown.error.message);
}

static bool forget_in(idem__postgres_jobs *all, const idem_op *op)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->jobs[i].op == op) {
            all->jobs[i].op = NULL;
            return true;
        }
    }
    return false;
}

static bool forget(const idem__postgres_queue *queue, const idem_op *op)
{
    for (idem__postgres_flight *flight = queue->first; flight; flight = flight->next) {
        if (forget_in(&flight->all, op))
            return true;
    }
    return false;
}

void idem__postgres_flight_abandon(idem_backend *backend, idem_op *op)
{
    idem__postgres_traffic *traffic = &((idem__postgres *)backend)->traffic;
    bool found = forget(&traffic->wire, op) || forget(&traffic->waiting, op);
    for (size_t i = 0; !found && i < traffic->done_count; i++) {
        if (traffic->done[i] != op)
            continue;
        found = true;
        traffic->done_count--;
        memmove(&traffic->done[i], &traffic->done[i + 1],
                (traffic->done_count - i) * sizeof traffic->done[0]);
    }
    if (!found)
        return;
    idem__postgres_jobs_take_back(op);
    traffic->live--;
}

void idem__postgres_flight_drop(idem_backend *backend)
{
    idem__postgres *self = (idem__postgres *)backend;
    if (!self->conn)
        return;
    self->broken = true;
    self->late = true;
    (void)shutdown(self->pq->PQsocket(self->conn), SHUT_RDWR);
}

void idem__postgres_flight_wants(const idem_backend *backend, idem_wants *wants)
{
    const idem__postgres *self = (const idem__postgres *)backend;
    const idem__postgres_traffic *traffic = &self->traffic;
    bool open = self->conn != NULL;
    bool unsent = open && self->pq->PQflush(self->conn) > 0;
    /* What libpq has read while it could not send, no poll() tells. */
    bool came = open && traffic->wire.first &&
                (traffic->wire.first->pipe.ended || !self->pq->PQisBusy(self->conn));
    *wants = (idem_wants){
        .fd = open ? self->pq->PQsocket(self->conn) : -1,
        .in_flight = traffic->done_count + (is_under_way(self) ? 1 : 0), /* batches: one will do */
        .progress = self->progress,
        .read = open,
        .write = unsent,
        .at_once = traffic->done_count > 0 || came ||
                   (open && (self->broken || (traffic->leaving && !is_under_way(self)))),
    };
}
