/* SPDX-License-Identifier: MIT */
/*
 * Requests in flight on the connection. What is sent together is a pipeline, and a seal ends it
 * (wire.c). An answer counts once the seal behind it has come: until then it may be the one to the
 * request before it. What has to be sent again (answer.c) is appended, and belongs to the pipeline
 * that it is then in.
 *
 * A request is in one of three queues: `awaited` in the order of its commands, then `unconfirmed`,
 * then `done`. An abandoned one stays where it is without its op, since its answer is still due.
 *
 * When a connection fails, a request of which no byte was sent was not carried out; one that was
 * sent, and could change something, is uncertain. So is one whose answer has come without its seal,
 * unless that is an error. If answers were out of step (one too many, one of the wrong kind), all
 * those in flight are discarded.
 */
#include "pipeline.h"

#include "instance.h"
#include "replicas.h"
#include "window.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READS_MAX     16u /* in one call: a server that sends without end does not hold it */
#define ABANDONED_MAX (IDEM__REDIS_FLIGHT_MAX / 2)

/* --------------------------------------------------------------------------------------- queues */

static void push(idem__redis_queue *queue, idem__redis_request *at)
{
    at->next = NULL;
    if (queue->first)
        queue->last->next = at;
    else
        queue->first = at;
    queue->last = at;
}

static idem__redis_request *pop(idem__redis_queue *queue)
{
    idem__redis_request *at = queue->first;
    queue->first = at->next;
    return at;
}

/* NULL: all are in flight, or out of memory. The first block is always there, so what is in flight
   makes room again. */
static idem__redis_request *get_new(idem__redis_pipeline *pipeline)
{
    if (pipeline->used == IDEM__REDIS_FLIGHT_MAX)
        return NULL;
    size_t block = pipeline->used / IDEM__REDIS_BLOCK;
    size_t place = pipeline->used % IDEM__REDIS_BLOCK;
    if (block > 0 && !pipeline->more_blocks[block - 1])
        pipeline->more_blocks[block - 1] = malloc(IDEM__REDIS_BLOCK * sizeof(idem__redis_request));
    idem__redis_request *in = block > 0 ? pipeline->more_blocks[block - 1] : pipeline->first_block;
    pipeline->used += in != NULL;
    return in ? &in[place] : NULL;
}

static idem__redis_request *get_unused(idem__redis_pipeline *pipeline)
{
    idem__redis_request *at = pipeline->unused;
    if (!at)
        return get_new(pipeline);
    pipeline->unused = at->next;
    return at;
}

static void free_replies(idem__redis_pipeline *pipeline)
{
    while (pipeline->have > 0)
        freeReplyObject(pipeline->replies[--pipeline->have]);
}

/* -------------------------------------------------------------------------------------- sending */

/* Appends the commands of a request, and awaits its answer. */
static void enqueue(idem__redis *self, idem__redis_request *at, idem__redis_queue *failed)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    if (!idem__redis_request_append(self, at)) {
        push(failed, at);
        return;
    }
    at->last = false;
    at->waits = false;
    pipeline->changes = pipeline->changes || (idem__redis_replicas_wanted(self) && at->op &&
                                              at->op->kind != IDEM_OP_GET);
    push(&pipeline->awaited, at);
    pipeline->awaiting++;
    pipeline->bytes += (size_t)(at->end - at->begin);
    pipeline->unsealed = true;
}

static void seal(idem__redis *self)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    if (!pipeline->unsealed)
        return;
    pipeline->unsealed = false;
    pipeline->awaited.last->last = true;
    pipeline->awaited.last->waits = pipeline->changes;
    int rc = pipeline->changes ? idem__redis_replicas_append(self, &pipeline->fault) : IDEM_OK;
    pipeline->changes = false;
    if (rc || idem__redis_wire_seal(&self->wire, &pipeline->fault))
        self->wire.broken = true; /* what was appended is not sent; `receive` tells */
}

/* An op for which there is no connection is given back by the next `receive`. */
static void refuse(idem__redis *self, idem__redis_request *at)
{
    const idem__redis_pipeline *pipeline = &self->pipeline;
    idem__redis_fault fault = pipeline->leaving ? pipeline->parting : pipeline->fault;
    (void)idem__redis_wire_tell_lost(&self->wire, &fault);
    idem_op_fail(at->op, false, fault.error.code, "%s", fault.error.message);
    push(&self->pipeline.done, at);
}

size_t idem__redis_send(idem_backend *backend, idem_op *const *ops, size_t count)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_pipeline *pipeline = &self->pipeline;
    bool over = self->wire.fd < 0 || self->wire.broken || pipeline->leaving ||
                pipeline->fault.error.code != IDEM_OK; /* nothing new may be sent */
    size_t taken = 0;
    while (taken < count) {
        if (pipeline->live > 0 && (over || !idem__redis_window_open(self)))
            break;
        idem__redis_request *at = get_unused(pipeline);
        if (!at)
            break;
        *at = idem__redis_request_make(self, ops[taken++]);
        pipeline->live++;
        if (over)
            refuse(self, at);
        else
            enqueue(self, at, &pipeline->done);
    }
    seal(self);
    if (self->wire.fd >= 0)
        idem__redis_wire_flush(&self->wire);
    return taken;
}

/* ------------------------------------------------------------------------------------ receiving */

static void confirm_all(idem__redis_pipeline *pipeline)
{
    idem__redis_queue *from = &pipeline->unconfirmed;
    if (!from->first)
        return;
    if (pipeline->done.first)
        pipeline->done.last->next = from->first;
    else
        pipeline->done.first = from->first;
    pipeline->done.last = from->last;
    from->first = NULL;
}

/* The replies of a request are there: sends it again, or puts it where it waits for the seal. */
static int settle(idem__redis *self, idem__redis_request *at)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    idem__redis_fault told = {0};
    idem__redis_verdict given = IDEM__REDIS_DONE;
    bool seals = idem__redis_wire_seals(&self->wire);
    bool last = at->last;
    pipeline->seal_due = last && seals;
    pipeline->wait_due = last && at->waits;
    if (at->op)
        given = idem__redis_request_take(self, at, pipeline->replies, &told);
    free_replies(pipeline);
    if (given == IDEM__REDIS_AGAIN)
        enqueue(self, at, &pipeline->unconfirmed);
    else
        push(&pipeline->unconfirmed, at);
    bool unwaited = !idem__redis_replicas_wanted(self) || (last && !pipeline->wait_due);
    if (!seals && unwaited && given != IDEM__REDIS_BROKEN)
        confirm_all(pipeline);
    if (told.drop && !pipeline->leaving)
        pipeline->parting = told;
    pipeline->leaving = pipeline->leaving || told.drop;
    if (given == IDEM__REDIS_BROKEN)
        pipeline->fault = told;
    else if (told.mute && pipeline->awaited.first) /* the server answers nothing behind it */
        return idem__redis_wire_tell_closed(&self->wire, &pipeline->fault);
    pipeline->seal_due = pipeline->seal_due && !told.mute;
    pipeline->wait_due = pipeline->wait_due && !told.mute;
    return pipeline->fault.error.code;
}

/* Takes one reply. @param[out] took  there was one */
static int take_one(idem__redis *self, bool *took)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    redisReply *reply = NULL;
    int rc = idem__redis_wire_take(&self->wire, &reply, &pipeline->fault);
    *took = reply != NULL;
    if (rc || !reply)
        return rc;
    if (pipeline->wait_due) {
        pipeline->wait_due = false;
        idem__redis_replicas_judge(self, reply, &pipeline->unconfirmed);
        freeReplyObject(reply);
        if (!pipeline->seal_due)
            confirm_all(pipeline);
        return IDEM_OK;
    }
    if (pipeline->seal_due) {
        pipeline->seal_due = false;
        rc = idem__redis_wire_confirm(&self->wire, reply, &pipeline->fault);
        freeReplyObject(reply);
        if (rc == IDEM_OK)
            confirm_all(pipeline);
        return rc;
    }
    idem__redis_request *at = pipeline->awaited.first;
    if (!at || at->begin >= idem__redis_wire_sent(&self->wire)) {
        freeReplyObject(reply);
        return idem__redis_wire_tell_excess(&self->wire, &pipeline->fault);
    }
    idem__redis_window_learn(self, reply);
    pipeline->replies[pipeline->have++] = reply;
    if (pipeline->have < idem__redis_request_replies(at))
        return IDEM_OK;
    (void)pop(&pipeline->awaited);
    pipeline->awaiting--;
    pipeline->bytes -= (size_t)(at->end - at->begin);
    return settle(self, at);
}

/* Puts ops where the caller wants them. */
static void give_back(idem__redis_pipeline *pipeline, idem_op **done, size_t room, size_t *count)
{
    while (*count < room && pipeline->done.first) {
        idem__redis_request *at = pop(&pipeline->done);
        if (at->op) {
            done[(*count)++] = at->op;
            pipeline->live--;
        } else {
            pipeline->abandoned--;
        }
        at->next = pipeline->unused;
        pipeline->unused = at;
    }
}

/* No replica will answer for these any more. Where one has and the seal is missing, they are asked
   about again, which does no harm. */
static void doubt_unconfirmed(idem__redis *self)
{
    if (idem__redis_replicas_wanted(self))
        idem__redis_replicas_judge(self, NULL, &self->pipeline.unconfirmed);
}

/* The connection is over, and all that is in flight is done. */
static int fail(idem__redis *self)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    const idem__redis_fault *fault = &pipeline->fault;
    for (idem__redis_request *at = pipeline->unconfirmed.first; at; at = at->next) {
        if (at->op && (fault->distrust || (self->wire.sealed && !at->op->error.code)))
            idem__redis_request_distrust(at, fault);
    }
    doubt_unconfirmed(self);
    confirm_all(pipeline);
    while (pipeline->awaited.first) {
        idem__redis_request *at = pop(&pipeline->awaited);
        if (at->op)
            idem__redis_request_fail(self, at, fault);
        if (at->op && fault->distrust)
            idem__redis_request_distrust(at, fault);
        push(&pipeline->done, at);
    }
    free_replies(pipeline);
    pipeline->awaiting = 0;
    pipeline->bytes = 0;
    pipeline->unsealed = false;
    pipeline->seal_due = false;
    pipeline->wait_due = false;
    pipeline->changes = false;
    idem__redis_window_learn_failure(self);
    idem__redis_wire_close(&self->wire);
    return fault->error.code;
}

/* True if the server refused something in a way that ends the connection, and all else was
   answered. */
static bool has_left(const idem__redis *self)
{
    return self->pipeline.leaving && !self->pipeline.awaited.first && !self->pipeline.wait_due &&
           !self->pipeline.seal_due;
}

static int leave(idem__redis *self)
{
    self->pipeline.fault = self->pipeline.parting;
    doubt_unconfirmed(self);
    confirm_all(&self->pipeline);
    idem__redis_wire_close(&self->wire);
    return self->pipeline.fault.error.code;
}

/* Takes what has come, reading once unless a read has brought all that it could. */
static int take_in(idem__redis *self, idem_op **done, size_t room, size_t *count)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    unsigned reads = 0;
    bool more = true;
    int rc = IDEM_OK;
    give_back(pipeline, done, room, count);
    while (rc == IDEM_OK && *count < room && !has_left(self)) {
        bool took = false;
        if (self->wire.expected > 0)
            rc = take_one(self, &took);
        if (took || rc) {
            give_back(pipeline, done, room, count);
            continue;
        }
        if (!more || reads++ == READS_MAX)
            break;
        rc = idem__redis_wire_read(&self->wire, &more, &pipeline->fault);
        more = more && (self->wire.pending || self->wire.chunk_len == sizeof self->wire.chunk);
    }
    return rc;
}

int idem__redis_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                        idem_error *error)
{
    idem__redis *self = (idem__redis *)backend;
    idem__redis_pipeline *pipeline = &self->pipeline;
    int rc = pipeline->fault.error.code;
    *count = 0;
    if (self->wire.fd >= 0 && rc == IDEM_OK) {
        idem__redis_wire_flush(&self->wire);
        rc = take_in(self, done, room, count);
        seal(self);
        idem__redis_wire_flush(&self->wire);
    }
    if (self->wire.fd >= 0 && rc)
        rc = fail(self);
    else if (self->wire.fd >= 0 && has_left(self))
        rc = leave(self);
    else if (self->wire.fd < 0 && rc == IDEM_OK)
        rc = idem__redis_wire_tell_lost(&self->wire, &pipeline->fault);
    give_back(pipeline, done, room, count);
    pipeline->more =
        pipeline->done.first || (*count == room && idem__redis_wire_has_more(&self->wire));
    if (rc)
        (void)idem_error_set(error, rc, "%s", pipeline->fault.error.message);
    return rc;
}

/* ------------------------------------------------------------------------------------ giving up */

static bool forget(idem__redis_queue *queue, const idem_op *op)
{
    for (idem__redis_request *at = queue->first; at; at = at->next) {
        if (at->op == op) {
            at->op = NULL;
            return true;
        }
    }
    return false;
}

void idem__redis_abandon(idem_backend *backend, idem_op *op)
{
    idem__redis_pipeline *pipeline = &((idem__redis *)backend)->pipeline;
    if (!forget(&pipeline->awaited, op) && !forget(&pipeline->unconfirmed, op) &&
        !forget(&pipeline->done, op))
        return;
    idem__redis_request_take_back(op);
    pipeline->live--;
    if (++pipeline->abandoned >= ABANDONED_MAX)
        idem__redis_drop(backend);
}

void idem__redis_drop(idem_backend *backend)
{
    idem__redis *self = (idem__redis *)backend;
    if (self->wire.fd < 0)
        return;
    self->wire.broken = true;
    (void)idem__redis_wire_tell_late(&self->wire, &self->pipeline.fault);
    (void)shutdown(self->wire.fd, SHUT_RDWR);
}

void idem__redis_say_wants(const idem_backend *backend, idem_wants *wants)
{
    const idem__redis *self = (const idem__redis *)backend;
    const idem__redis_wire *wire = &self->wire;
    bool open = wire->fd >= 0;
    *wants = (idem_wants){
        .fd = wire->fd,
        .in_flight = self->pipeline.live + self->pipeline.abandoned,
        .progress = wire->progress,
        .read = open,
        .write = open && idem__redis_wire_wants_write(wire),
        .at_once = self->pipeline.more || self->pipeline.done.first ||
                   (open && (wire->pending || self->pipeline.fault.error.code)),
    };
}

void idem__redis_close_connection(idem__redis *self)
{
    idem__redis_pipeline *pipeline = &self->pipeline;
    idem__redis_wire_close(&self->wire);
    free_replies(pipeline);
    memset(pipeline, 0, offsetof(idem__redis_pipeline, first_block));
}

void idem__redis_free_requests(idem__redis *self)
{
    for (size_t i = 0; i < IDEM__REDIS_BLOCKS - 1; i++)
        free(self->pipeline.more_blocks[i]);
}
