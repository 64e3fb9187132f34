/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops as one pipeline, in rounds: nearly always there is one. What `answer.c` sends
 * again goes into the next.
 *
 * Ops on the same key have to be carried out in their order, so one that is followed by another on
 * its key is sent in the form that nothing but a refusal can send into a second round.
 *
 * A pipeline is cut into slices by what it sends, and by what it may answer: a server keeps all
 * answers in its memory until they are taken, and beside a `maxmemory` they would make it full. How
 * long an answer is nobody knows before. It is reckoned from those before and from what was
 * written: at once as long as the longest, then an eighth less with each that is shorter, and
 * longer again when a connection has failed.
 *
 * When a connection fails, a job of which no byte was sent was not carried out; one that was sent,
 * and could change something, is uncertain. Jobs that wait for another round have changed nothing.
 * Where answers were out of step (one too many, one of the wrong kind), those before may have
 * belonged to others: none of the batch counts.
 */
#include "batch.h"

#include "request.h"

#define SLICE_BYTES    1048576u /* a pipeline is cut into slices of about this size */
#define ANSWERS_BYTES  8388608u /* and of answers that may be so long together */
#define ANSWER_UNKNOWN 524288u  /* what the first answer of all is reckoned to take */
#define TABLE_SIZE     (2 * IDEM_BATCH_MAX)

typedef struct {
    idem__redis *self;
    uint64_t deadline_ms;
    idem__redis_request jobs[IDEM_BATCH_MAX];
    size_t count;
    idem__redis_request *left[IDEM_BATCH_MAX]; /* those that have no answer yet, in their order */
    size_t left_count;
    bool fresh; /* nothing was sent yet */
} batch;

void idem__redis_batch_fail(idem_op *const *ops, size_t count, const idem__redis_fault *fault)
{
    for (size_t i = 0; i < count; i++)
        idem_op_fail(ops[i], fault->permanent, fault->error.code, "%s", fault->error.message);
}

/* ------------------------------------------------------------------------------- ops on one key */

static size_t slot_of(idem_bytes key)
{
    const uint8_t *data = key.data;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ data[i]) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32) % TABLE_SIZE;
}

static bool same_key(const idem_op *a, const idem_op *b)
{
    return a->key.len == b->key.len && memcmp(a->key.data, b->key.data, a->key.len) == 0;
}

/* Finds the jobs that are followed by another on their key. */
static void mark_followed(batch *all)
{
    idem__redis_request *latest[TABLE_SIZE] = {NULL};
    for (size_t i = 0; i < all->count; i++) {
        idem__redis_request *at = &all->jobs[i];
        size_t slot = slot_of(at->op->key);
        while (latest[slot] && !same_key(latest[slot]->op, at->op))
            slot = (slot + 1) % TABLE_SIZE;
        if (latest[slot])
            idem__redis_request_settle(latest[slot]);
        latest[slot] = at;
    }
}

/* ------------------------------------------------------------------------- how long answers are */

static size_t window(const idem__redis *self)
{
    size_t len = self->answer_len ? self->answer_len : ANSWER_UNKNOWN;
    size_t jobs = ANSWERS_BYTES / len;
    return jobs ? jobs : 1;
}

/* Answers are texts, or arrays of one text and numbers. */
static size_t length_of(const redisReply *reply)
{
    size_t len = reply->type == REDIS_REPLY_ARRAY ? 0 : reply->len;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        len += reply->element[i]->len;
    return len;
}

static void reckon(idem__redis *self, const redisReply *reply)
{
    size_t len = length_of(reply);
    if (self->answer_len == 0)
        self->answer_len = ANSWER_UNKNOWN;
    if (len > self->answer_len)
        self->answer_len = len;
    else if (self->answer_len > 8)
        self->answer_len -= self->answer_len / 8;
}

/* The answers may have been too many at once for the server. */
static void reckon_failure(idem__redis *self)
{
    size_t len = self->answer_len < ANSWER_UNKNOWN ? ANSWER_UNKNOWN : self->answer_len * 4;
    self->answer_len = len < ANSWERS_BYTES ? len : ANSWERS_BYTES;
}

/* -------------------------------------------------------------------------------- the rounds */

/* Sends the jobs from `first` on that fit into a slice. @return where the next slice begins; the
   jobs that failed at once are taken out */
static size_t send_slice(batch *all, size_t first)
{
    size_t end = first;
    idem__redis_wire_begin(&all->self->wire, false);
    while (end < all->left_count && all->self->wire.out.len < SLICE_BYTES &&
           end - first < window(all->self)) {
        if (idem__redis_request_append(all->self, all->left[end]))
            end++;
        else
            memmove(&all->left[end], &all->left[end + 1],
                    (--all->left_count - end) * sizeof all->left[0]);
    }
    return end;
}

/* Nothing may have come between two slices. */
static int look_between(batch *all, idem__redis_fault *fault)
{
    bool fresh = all->fresh;
    all->fresh = false;
    return fresh ? IDEM_OK : idem__redis_wire_quiet(&all->self->wire, fault);
}

/* Reads the replies of one job, and keeps the job if it needs another round. */
static int answer(batch *all, idem__redis_request *at, size_t *kept, idem__redis_fault *fault)
{
    redisReply *replies[IDEM__REDIS_REPLIES_MAX] = {NULL};
    idem__redis_verdict given = IDEM__REDIS_DONE;
    size_t count = idem__redis_request_replies(at);
    size_t have = 0;
    int rc = IDEM_OK;
    while (rc == IDEM_OK && have < count) {
        rc = idem__redis_wire_reply(&all->self->wire, all->deadline_ms, &replies[have], fault);
        if (rc == IDEM_OK)
            reckon(all->self, replies[have++]);
    }
    if (rc == IDEM_OK)
        given = idem__redis_request_take(all->self, at, replies, fault);
    if (given == IDEM__REDIS_BROKEN)
        rc = fault->error.code;
    if (given == IDEM__REDIS_AGAIN) {
        at->begin = IDEM__REDIS_NOT_SENT;
        all->left[(*kept)++] = at;
    }
    while (have > 0)
        freeReplyObject(replies[--have]);
    return rc;
}

/* A server that refuses a command for its form answers nothing behind it. */
static int confirm(batch *all, idem__redis_fault *fault)
{
    return fault->mute ? IDEM_OK
                       : idem__redis_wire_confirm(&all->self->wire, all->deadline_ms, fault);
}

static void fail_all(batch *all, size_t kept, size_t next, const idem__redis_fault *fault)
{
    for (size_t i = 0; i < kept; i++)
        idem__redis_request_fail(all->self, all->left[i], fault);
    for (size_t i = next; i < all->left_count; i++)
        idem__redis_request_fail(all->self, all->left[i], fault);
    for (size_t i = 0; fault->distrust && i < all->count; i++)
        idem__redis_request_distrust(&all->jobs[i], fault);
}

/* One round: all jobs are sent and answered, and those for another round are kept. */
static int run_round(batch *all, idem__redis_fault *fault)
{
    size_t kept = 0;
    size_t next = 0;
    int rc = IDEM_OK;
    while (rc == IDEM_OK && next < all->left_count) {
        rc = look_between(all, fault);
        size_t end = rc == IDEM_OK ? send_slice(all, next) : next;
        if (end == next)
            continue; /* none of them could be sent */
        rc = idem__redis_wire_seal(&all->self->wire, fault);
        while (rc == IDEM_OK && next < end) {
            rc = answer(all, all->left[next], &kept, fault);
            next += rc == IDEM_OK;
        }
        if (rc == IDEM_OK)
            rc = confirm(all, fault);
    }
    if (rc)
        fail_all(all, kept, next, fault);
    all->left_count = rc ? 0 : kept;
    return rc;
}

static void fill(batch *all, idem__redis *self, idem_op *const *ops, size_t count)
{
    all->self = self;
    all->count = count;
    all->left_count = count;
    all->fresh = true;
    for (size_t i = 0; i < count; i++) {
        all->jobs[i] = idem__redis_request_make(self, ops[i]);
        all->left[i] = &all->jobs[i];
    }
    if (count > 1)
        mark_followed(all);
}

int idem__redis_batch_run(idem__redis *self, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms)
{
    idem__redis_fault fault = {0};
    batch all;
    fill(&all, self, ops, count);
    all.deadline_ms = deadline_ms;
    int rc = IDEM_OK;
    while (rc == IDEM_OK && all.left_count > 0)
        rc = run_round(&all, &fault);
    if (rc)
        reckon_failure(self);
    if (rc || fault.drop)
        idem__redis_wire_close(&self->wire);
    else
        idem__redis_wire_begin(&self->wire, false);
    return rc;
}
