/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops as one pipeline, in rounds: nearly always there is one. A job goes into another
 * round if the server has forgotten its script (it is then sent by its text, which the server keeps
 * again), if the server is too old for SET with NX and GET, and if an insert has found a record in
 * progress, whose age only a second look can tell. That second look reads the record anew, with its
 * PTTL in one step: an old record dated by a later one's PTTL could seem expired.
 *
 * Ops on the same key have to be carried out in their order, so one that is followed by another on
 * its key is sent in the form that nothing can send into a second round.
 *
 * When a connection fails, a job of which no byte was sent was not carried out; one that was sent,
 * and could change something, is uncertain. Jobs that wait for another round have changed nothing.
 */
#include "batch.h"

#include "reading.h"
#include "scripts.h"

#define SLICE_BYTES   1048576u /* a pipeline is cut into slices of about this size */
#define NOT_SENT      SIZE_MAX
#define TEXT_KEPT_MAX 65536u /* capacity that an instance may keep */
#define TABLE_SIZE    (2 * IDEM_BATCH_MAX)

typedef struct {
    idem_op *op;
    idem__redis_script script;
    bool plain;   /* a command of Redis' own does it: SET, DEL */
    bool by_text; /* send the script itself, not its name */
    size_t begin; /* where its command begins in the pipeline */
} job;

typedef struct {
    idem__redis *self;
    uint64_t deadline_ms;
    job jobs[IDEM_BATCH_MAX];
    size_t count;
} batch;

typedef enum { DONE, AGAIN, BROKEN } verdict;

void idem__redis_batch_fail(idem_op *const *ops, size_t count, const idem__redis_fault *fault)
{
    for (size_t i = 0; i < count; i++)
        idem_op_fail(ops[i], fault->permanent, fault->error.code, "%s", fault->error.message);
}

/* ----------------------------------------------------------------------------- what to send */

static job make_job(const idem__redis *self, idem_op *op)
{
    static const idem__redis_script scripts[] = {
        [IDEM_OP_INSERT] = IDEM__REDIS_INSERT,
        [IDEM_OP_REPLACE] = IDEM__REDIS_REPLACE,
        [IDEM_OP_REMOVE] = IDEM__REDIS_REMOVE,
        [IDEM_OP_GET] = IDEM__REDIS_READ,
    };
    job made = {.op = op, .script = scripts[op->kind], .begin = NOT_SENT};
    made.plain = (op->kind == IDEM_OP_INSERT && !self->no_nx_get) ||
                 (op->kind == IDEM_OP_REMOVE && op->any_version);
    return made;
}

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
    job *latest[TABLE_SIZE] = {NULL};
    for (size_t i = 0; i < all->count; i++) {
        job *at = &all->jobs[i];
        size_t slot = slot_of(at->op->key);
        while (latest[slot] && !same_key(latest[slot]->op, at->op))
            slot = (slot + 1) % TABLE_SIZE;
        if (latest[slot]) {
            latest[slot]->by_text = true;
            latest[slot]->plain = latest[slot]->plain && latest[slot]->op->kind == IDEM_OP_REMOVE;
        }
        latest[slot] = at;
    }
}

/* How the text of a record of this version begins. */
static idem_bytes beginning_of(uint64_t version, char out[IDEM__REDIS_BEGINNING_LEN])
{
    static const char digits[] = "0123456789abcdef";
    char *at = out + IDEM__REDIS_BEGINNING_LEN;
    *--at = '"';
    for (int i = 0; i < 16; i++, version >>= 4)
        *--at = digits[version & 15];
    memcpy(out, "{\"version\":\"", (size_t)(at - out));
    return (idem_bytes){out, IDEM__REDIS_BEGINNING_LEN};
}

static int append_command(batch *all, const job *at, idem__redis_fault *fault)
{
    const idem_op *op = at->op;
    const idem__redis_source *source = &idem__redis_sources[at->script];
    char digits[IDEM__REDIS_DIGITS_MAX];
    char beginning[IDEM__REDIS_BEGINNING_LEN];
    idem_bytes text = {all->self->text.data, all->self->text.len};
    idem_bytes life = idem__redis_wire_number(op->record ? op->live_ms : 0, digits);
    idem_bytes words[7] = {idem_str(at->by_text ? "EVAL" : "EVALSHA"),
                           idem_str(at->by_text ? source->text : source->sha1), idem_str("1"),
                           op->key};
    size_t count = 4;
    if (at->plain && op->kind == IDEM_OP_REMOVE) {
        words[0] = idem_str("DEL");
        words[1] = op->key;
        count = 2;
    } else if (at->plain) {
        idem_bytes set[] = {idem_str("SET"), op->key,        text, idem_str("NX"),
                            idem_str("GET"), idem_str("PX"), life};
        memcpy(words, set, sizeof set);
        count = sizeof set / sizeof set[0];
    } else {
        if (at->script == IDEM__REDIS_REPLACE || at->script == IDEM__REDIS_REMOVE) {
            words[count++] = beginning_of(op->expected, beginning);
        }
        if (at->script == IDEM__REDIS_REPLACE || at->script == IDEM__REDIS_INSERT) {
            words[count++] = text;
            words[count++] = life;
        }
    }
    return idem__redis_wire_append(&all->self->wire, count, words, fault);
}

/* Puts a job's command into the pipeline. False: its op has failed. */
static bool append(batch *all, job *at)
{
    idem__redis_fault fault = {0};
    idem_buffer *text = &all->self->text;
    int rc = IDEM_OK;
    text->len = 0;
    at->begin = all->self->wire.out.len;
    if (at->op->record && at->script != IDEM__REDIS_READ)
        rc = idem_record_encode(at->op->record, text, &fault.error);
    if (rc == IDEM_OK)
        rc = append_command(all, at, &fault);
    if (text->capacity > TEXT_KEPT_MAX)
        idem_buffer_clear(text);
    if (rc)
        idem_op_fail(at->op, true, rc, "%s", fault.error.message);
    return rc == IDEM_OK;
}

/* --------------------------------------------------------------------------- what came back */

static verdict take_found(job *at, idem_bytes text, long long pttl)
{
    idem_op *op = at->op;
    idem_error error = {0};
    int rc = idem__redis_read_record(op->key, text, pttl, &op->found, &error);
    if (rc)
        idem_op_fail(op, true, rc, "%s", error.message);
    else
        op->has_found = true;
    return DONE;
}

/* SET with NX and GET gives no PTTL. Of a completed record nobody asks the age; of one in progress
   it says whether the lease is live. */
static verdict take_set_found(job *at, idem_bytes text)
{
    (void)take_found(at, text, IDEM__REDIS_NO_END);
    if (!at->op->has_found || at->op->found.status == IDEM_STATUS_COMPLETED)
        return DONE;
    idem_record_clear(&at->op->found);
    at->op->has_found = false;
    at->plain = false;
    at->script = IDEM__REDIS_READ;
    return AGAIN;
}

static verdict take_error(idem__redis *self, job *at, idem_bytes text, idem__redis_fault *whole)
{
    idem__redis_fault fault = {0};
    if (!at->plain && !at->by_text && idem__redis_fault_is(text, "NOSCRIPT")) {
        at->by_text = true;
        return AGAIN;
    }
    if (at->plain && at->op->kind == IDEM_OP_INSERT &&
        idem__redis_fault_is(text, "ERR syntax error")) {
        self->no_nx_get = true;
        at->plain = false;
        return AGAIN;
    }
    int rc = idem__redis_fault_take(&fault, self->name, at->op->key, text);
    idem_op_fail(at->op, fault.permanent, rc, "%s", fault.error.message);
    whole->drop = whole->drop || fault.drop;
    return DONE;
}

static verdict take_plain(job *at, const redisReply *reply)
{
    bool set = at->op->kind == IDEM_OP_INSERT;
    if (set && reply->type == REDIS_REPLY_STRING)
        return take_set_found(at, (idem_bytes){reply->str, reply->len});
    if (set && reply->type == REDIS_REPLY_NIL)
        at->op->applied = true;
    else if (!set && reply->type == REDIS_REPLY_INTEGER)
        at->op->applied = reply->integer > 0;
    else
        return BROKEN;
    return DONE;
}

/* True if a script says that it made the change: SET's OK, or DEL's 1. */
static bool says_applied(idem__redis_script script, const redisReply *reply)
{
    if (script == IDEM__REDIS_READ)
        return false;
    if (script == IDEM__REDIS_REMOVE)
        return reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;
}

static verdict take_scripted(job *at, const redisReply *reply)
{
    idem_bytes text;
    long long pttl;
    if (idem__redis_read_found(reply, &text, &pttl))
        return take_found(at, text, pttl);
    at->op->applied = says_applied(at->script, reply);
    return at->op->applied || reply->type == REDIS_REPLY_NIL ? DONE : BROKEN;
}

static verdict take_reply(idem__redis *self, job *at, const redisReply *reply,
                          idem__redis_fault *whole)
{
    verdict given;
    if (reply->type == REDIS_REPLY_ERROR)
        return take_error(self, at, (idem_bytes){reply->str, reply->len}, whole);
    given = at->plain ? take_plain(at, reply) : take_scripted(at, reply);
    if (given == BROKEN)
        (void)idem__redis_fault_set(whole, false, IDEM_ERR_UNAVAILABLE,
                                    "%s sent an answer of the wrong kind: is it Redis?",
                                    self->name);
    return given;
}

/* -------------------------------------------------------------------------------- the rounds */

static void fail_job(const batch *all, const job *at, const idem__redis_fault *fault)
{
    bool sent = at->begin < all->self->wire.sent;
    if (sent && at->script != IDEM__REDIS_READ)
        idem_op_fail(at->op, false, IDEM_ERR_UNCERTAIN, "%s; the change may have been made",
                     fault->error.message);
    else
        idem_op_fail(at->op, fault->permanent, fault->error.code, "%s", fault->error.message);
}

/* Sends the jobs from `first` on that fit into a slice. @return where the next slice begins; the
   jobs that failed at once are taken out */
static size_t send_slice(batch *all, size_t first)
{
    size_t end = first;
    idem__redis_wire_begin(&all->self->wire, false);
    while (end < all->count && all->self->wire.out.len < SLICE_BYTES) {
        if (append(all, &all->jobs[end]))
            end++;
        else
            memmove(&all->jobs[end], &all->jobs[end + 1],
                    (--all->count - end) * sizeof all->jobs[0]);
    }
    return end;
}

/* Reads the reply of one job, and keeps the job if it needs another round. */
static int answer(batch *all, size_t which, size_t *kept, idem__redis_fault *fault)
{
    redisReply *reply;
    int rc = idem__redis_wire_reply(&all->self->wire, all->deadline_ms, &reply, fault);
    if (rc)
        return rc;
    verdict given = take_reply(all->self, &all->jobs[which], reply, fault);
    freeReplyObject(reply);
    if (given == AGAIN) {
        all->jobs[*kept] = all->jobs[which];
        all->jobs[(*kept)++].begin = NOT_SENT;
    }
    return given == BROKEN ? fault->error.code : IDEM_OK;
}

/* One round: all jobs are sent and answered, and those for another round are kept. */
static int run_round(batch *all, idem__redis_fault *fault)
{
    size_t kept = 0;
    size_t next = 0;
    int rc = IDEM_OK;
    while (rc == IDEM_OK && next < all->count) {
        size_t end = send_slice(all, next);
        while (rc == IDEM_OK && next < end) {
            rc = answer(all, next, &kept, fault);
            next += rc == IDEM_OK;
        }
    }
    for (size_t i = next; i < all->count; i++)
        fail_job(all, &all->jobs[i], fault);
    for (size_t i = 0; rc && i < kept; i++)
        fail_job(all, &all->jobs[i], fault);
    all->count = rc ? 0 : kept;
    return rc;
}

void idem__redis_batch_run(idem__redis *self, idem_op *const *ops, size_t count,
                           uint64_t deadline_ms)
{
    idem__redis_fault fault = {0};
    batch all;
    all.self = self;
    all.deadline_ms = deadline_ms;
    all.count = count;
    for (size_t i = 0; i < count; i++)
        all.jobs[i] = make_job(self, ops[i]);
    if (count > 1)
        mark_followed(&all);
    int rc = IDEM_OK;
    while (rc == IDEM_OK && all.count > 0)
        rc = run_round(&all, &fault);
    if (rc || fault.drop)
        idem__redis_wire_close(&self->wire);
    else
        idem__redis_wire_begin(&self->wire, false);
}
