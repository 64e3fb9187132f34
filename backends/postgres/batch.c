/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops as one transaction in one pipeline: one round trip, one flush to the disk. Ops are
 * carried out in the order of their keys, so that batches of several processes don't wait for one another
 * in a circle; those on one key stay in their order.
 *
 * Answers are filled in as results come, and taken back if the transaction does not stand in the end. If one
 * op is to blame it is answered, and the others are carried out without it. Where the server refuses
 * changes, inserts are looked up instead: what is completed is replayed all the same.
 *
 * Whoever finds a record with its own token is asking once more after a lost answer. That record may be
 * committed on this server alone, and be lost with it: so a commit of our own has to reach the standbys
 * first, which carries everything before it along.
 */
#include "batch.h"

#include "connection.h"
#include "frame.h"
#include "row.h"
#include "walk.h"
#include "wire.h"

#include <stdlib.h>

#define NONE           SIZE_MAX
#define TEXT_KEPT_MAX  65536u /* capacity that an instance may keep */
#define RIVAL_RETRY_MS 1000u  /* a transaction that is open has no lease to be told */

typedef struct {
    idem_op *op;
    size_t place; /* in the batch */
    idem__postgres_sql which;
    bool looks; /* a look stands behind it in the same pipeline */
} job;

typedef struct {
    idem__postgres *self;
    uint64_t deadline_ms;
    idem__postgres_frame frame;
    job jobs[IDEM_BATCH_MAX];
    size_t count;
    size_t bad;      /* the job that was refused first, or NONE */
    size_t in_front; /* results of the frame */
    bool sweeps;
    bool sweep_bad;
} batch;

/* ------------------------------------------------------------------------------------ failing */

static bool may_change(const idem_op *op)
{
    return op->kind != IDEM_OP_GET;
}

/* Inside a caller's transaction nothing is repeated: by then it may be another one. */
static void fail(const idem__postgres *self, idem_op *op, const idem__postgres_fault *fault)
{
    bool permanent = fault->permanent || self->nested;
    if (self->nested && self->broken)
        idem_op_fail(op, true, fault->error.code,
                     "%.180s; your transaction is gone with it: begin a new one",
                     fault->error.message);
    else if (self->committing && may_change(op) && !self->nested)
        idem_op_fail(op, false, IDEM_ERR_UNCERTAIN, "%s; the change may have been made",
                     fault->error.message);
    else
        idem_op_fail(op, permanent, fault->error.code, "%s", fault->error.message);
}

void idem__postgres_batch_fail(idem__postgres *self, idem_op *const *ops, size_t count,
                               const idem__postgres_fault *fault)
{
    self->committing = false; /* nothing was sent */
    for (size_t i = 0; i < count; i++)
        fail(self, ops[i], fault);
}

static void fail_all(const batch *all, const idem__postgres_fault *fault)
{
    for (size_t i = 0; i < all->count; i++)
        fail(all->self, all->jobs[i].op, fault);
}

static void take_back(idem_op *op)
{
    idem_record_clear(&op->found);
    memset(&op->error, 0, sizeof op->error);
    op->applied = false;
    op->has_found = false;
    op->permanent = false;
}

/* ------------------------------------------------------------------------- building a pipeline */

static job make_job(idem_op *op, size_t place)
{
    static const idem__postgres_sql statements[] = {
        [IDEM_OP_INSERT] = IDEM__POSTGRES_INSERT,
        [IDEM_OP_REPLACE] = IDEM__POSTGRES_REPLACE,
        [IDEM_OP_REMOVE] = IDEM__POSTGRES_REMOVE,
        [IDEM_OP_GET] = IDEM__POSTGRES_GET,
    };
    job made = {.op = op, .place = place, .which = statements[op->kind]};
    if (op->kind == IDEM_OP_REMOVE && op->any_version)
        made.which = IDEM__POSTGRES_REMOVE_ANY;
    return made;
}

static int compare_keys(const idem_bytes *a, const idem_bytes *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->data, b->data, len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_jobs(const void *one, const void *other)
{
    const job *a = one;
    const job *b = other;
    int order = compare_keys(&a->op->key, &b->op->key);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static void make_jobs(batch *all, idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        all->jobs[i] = make_job(ops[i], i);
    all->count = count;
    if (count > 1)
        qsort(all->jobs, count, sizeof all->jobs[0], compare_jobs);
    /* What follows on the same key may change what a look in a second round would find. */
    for (size_t i = 0; i + 1 < count; i++)
        all->jobs[i].looks = all->jobs[i].which != IDEM__POSTGRES_GET &&
                             compare_keys(&all->jobs[i].op->key, &all->jobs[i + 1].op->key) == 0;
}

static int encode(idem__postgres *self, const idem_record *record, idem__postgres_fault *fault)
{
    self->text.len = 0;
    int rc = idem_record_encode(record, &self->text, &fault->error);
    fault->permanent = rc != IDEM_OK;
    fault->of_one_op = rc != IDEM_OK;
    return rc;
}

static int send_look(batch *all, const job *at, idem__postgres_fault *fault)
{
    idem__postgres_params params = {0};
    idem__postgres_param_bytes(&params, at->op->key);
    return idem__postgres_wire_send(all->self, IDEM__POSTGRES_GET, &params, all->deadline_ms,
                                    fault);
}

static int send_job(batch *all, const job *at, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    idem__postgres_params params = {0};
    const idem_op *op = at->op;
    int rc = IDEM_OK;
    if (at->which == IDEM__POSTGRES_GET)
        return send_look(all, at, fault);
    idem__postgres_param_bytes(&params, op->key);
    if (op->record) {
        rc = encode(self, op->record, fault);
        idem__postgres_param_number(&params, (int64_t)op->record->version);
        idem__postgres_param_number(&params, (int64_t)op->live_ms);
        idem__postgres_param_bytes(&params, (idem_bytes){self->text.data, self->text.len});
    }
    if (at->which == IDEM__POSTGRES_REPLACE || at->which == IDEM__POSTGRES_REMOVE)
        idem__postgres_param_number(&params, (int64_t)op->expected);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_send(self, at->which, &params, all->deadline_ms, fault);
    if (self->text.capacity > TEXT_KEPT_MAX)
        idem_buffer_clear(&self->text);
    return rc ? rc : at->looks ? send_look(all, at, fault) : IDEM_OK;
}

static bool changes(const batch *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->jobs[i].which != IDEM__POSTGRES_GET)
            return true;
    }
    return false;
}

static size_t count_inserts(const batch *all)
{
    size_t inserts = 0;
    for (size_t i = 0; i < all->count; i++)
        inserts += all->jobs[i].which == IDEM__POSTGRES_INSERT;
    return inserts;
}

static int send_all(batch *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    bool change = changes(all);
    size_t inserts = count_inserts(all);
    all->frame = idem__postgres_frame_for(self, change);
    all->bad = NONE;
    all->sweep_bad = false;
    all->sweeps = inserts > 0 && !self->nested && !idem__postgres_walk_is_ahead(self, inserts);
    int rc = idem__postgres_frame_open(self, all->frame, change, all->deadline_ms, &all->in_front,
                                       fault);
    for (size_t i = 0; rc == IDEM_OK && i < all->count; i++) {
        rc = send_job(all, &all->jobs[i], fault);
        if (rc && fault->of_one_op)
            all->bad = i;
    }
    if (rc == IDEM_OK && all->sweeps)
        rc = idem__postgres_walk_send_sweep(self, inserts, all->jobs[0].op->key, all->deadline_ms,
                                            fault);
    return rc ? rc : idem__postgres_frame_close(self, all->frame, all->deadline_ms, fault);
}

/* ------------------------------------------------------------------------------ taking answers */

static void take_found(const batch *all, const job *at, const PGresult *result)
{
    idem_error error = {0};
    idem_op *op = at->op;
    if (op->applied || all->self->pq->PQntuples(result) < 1)
        return;
    int rc = idem__postgres_row_read(all->self, result, 0, op->key, &op->found, &error);
    if (rc)
        idem_op_fail(op, true, rc, "%s", error.message);
    else
        op->has_found = true;
}

static void take_result(const batch *all, const job *at, PGresult *result)
{
    const idem__pq *pq = all->self->pq;
    switch (at->which) {
    case IDEM__POSTGRES_REPLACE:
    case IDEM__POSTGRES_REMOVE:
    case IDEM__POSTGRES_REMOVE_ANY:
        at->op->applied = strcmp(pq->PQcmdTuples(result), "1") == 0;
        break;
    case IDEM__POSTGRES_INSERT:
        at->op->applied = pq->PQntuples(result) == 1 &&
                          pq->PQgetisnull(result, 0, IDEM__POSTGRES_C_VERSION) &&
                          pq->PQgetisnull(result, 0, IDEM__POSTGRES_C_RECORD);
        take_found(all, at, result);
        break;
    default:
        take_found(all, at, result);
        break;
    }
}

static int take_job(batch *all, size_t index, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    const job *at = &all->jobs[index];
    PGresult *result;
    int rc = idem__postgres_wire_next(self, all->deadline_ms, &result, fault);
    if (rc == IDEM_OK)
        take_result(all, at, result);
    self->pq->PQclear(result);
    if (rc == IDEM_OK && at->looks) {
        rc = idem__postgres_wire_next(self, all->deadline_ms, &result, fault);
        if (rc == IDEM_OK && !at->op->has_found && !at->op->error.code)
            take_found(all, at, result);
        self->pq->PQclear(result);
    }
    if (rc)
        all->bad = index;
    return rc;
}

/* The commit is what counts. */
static int take_end(batch *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    int rc = idem__postgres_wire_finish(self, all->deadline_ms, fault);
    if (rc || !self->doubtful || self->nested || !changes(all))
        return rc;
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNCERTAIN,
                                    "%s has committed it with a warning, as when the wait for its "
                                    "synchronous standbys is cancelled",
                                    self->name);
}

static int take_all(batch *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    int rc = idem__postgres_frame_pass(self, all->in_front, all->deadline_ms, fault);
    for (size_t i = 0; rc == IDEM_OK && i < all->count; i++)
        rc = take_job(all, i, fault);
    if (rc == IDEM_OK && all->sweeps) {
        rc = idem__postgres_walk_take_sweep(self, all->deadline_ms, fault);
        all->sweep_bad = rc != IDEM_OK;
    }
    if (rc == IDEM_OK)
        return take_end(all, fault);
    if (!self->broken)
        (void)idem__postgres_wire_finish(self, all->deadline_ms, fault);
    return rc;
}

/* What was sent of a pipeline that could not be built to its end must not be committed: without a frame
   of its own, its end would do that. */
static void abandon(batch *all)
{
    idem__postgres *self = all->self;
    idem__postgres_fault unused = {0};
    self->committing = false;
    if (all->frame == IDEM__POSTGRES_BARE)
        self->broken = true;
    if (!self->broken && idem__postgres_wire_sync(self, &unused) == IDEM_OK)
        (void)idem__postgres_wire_finish(self, all->deadline_ms, &unused);
}

/* Carries out all jobs or none: one pipeline. */
static int run_once(batch *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    int rc = send_all(all, fault);
    if (rc)
        abandon(all);
    else
        rc = take_all(all, fault);
    if (rc == IDEM_OK)
        return rc;
    for (size_t i = 0; i < all->count; i++)
        take_back(all->jobs[i].op);
    if (!self->broken)
        idem__postgres_frame_undo(self, all->frame, all->deadline_ms);
    return rc;
}

/* ------------------------------------------------------------------------- what goes otherwise */

/* A key that a transaction which is still open has inserted is in progress there, whatever becomes of it.
   That is told where such transactions are usual; a store of its own rather asks again, since what holds
   the key may be a commit of its own whose answer was lost. */
static bool answer_rival(const idem__postgres *self, idem_op *op, const idem__postgres_fault *fault)
{
    idem_error error = {0};
    if (!fault->of_lock || !self->joined || op->kind != IDEM_OP_INSERT)
        return false;
    idem_record rival = {
        .key = op->key,
        .status = IDEM_STATUS_IN_PROGRESS,
        .attempt = 1,
        .created_at_ms = idem_wall_ms(),
        .updated_at_ms = idem_wall_ms(),
        .lease_ms = RIVAL_RETRY_MS,
        .ttl_ms = RIVAL_RETRY_MS,
    };
    memset(rival.token, 0xff, sizeof rival.token);
    op->has_found = idem_record_copy(&rival, &op->found, &error) == IDEM_OK;
    return op->has_found;
}

static void drop_job(batch *all, size_t index)
{
    all->count--;
    memmove(&all->jobs[index], &all->jobs[index + 1], (all->count - index) * sizeof all->jobs[0]);
}

/* The server can be read: what is completed is replayed, and the others are told why not. */
static void read_instead(batch *all, const idem__postgres_fault *why)
{
    idem__postgres_fault fault = {0};
    for (size_t i = 0; i < all->count; i++)
        all->jobs[i].looks = false;
    for (size_t i = all->count; i-- > 0;) {
        idem_op *op = all->jobs[i].op;
        if (op->kind == IDEM_OP_INSERT || op->kind == IDEM_OP_GET) {
            all->jobs[i].which = IDEM__POSTGRES_GET;
        } else {
            fail(all->self, op, why);
            drop_job(all, i);
        }
    }
    int rc = all->count > 0 ? run_once(all, &fault) : IDEM_OK;
    all->self->committing = false; /* they have only been looked up */
    if (rc) {
        fail_all(all, &fault);
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        idem_op *op = all->jobs[i].op;
        if (op->kind == IDEM_OP_INSERT && !op->has_found)
            fail(all->self, op, why);
    }
}

/* What was not changed and not found either is looked up: what is in its way was committed after its
   statement had begun, or is of another version. */
static void look_again(batch *all)
{
    idem__postgres_fault fault = {0};
    batch looking = {.self = all->self, .deadline_ms = all->deadline_ms};
    for (size_t i = 0; i < all->count; i++) {
        const job *at = &all->jobs[i];
        const idem_op *op = at->op;
        bool open = !op->applied && !op->has_found && !op->error.code && !at->looks;
        if (open && at->which != IDEM__POSTGRES_GET && at->which != IDEM__POSTGRES_REMOVE_ANY)
            looking.jobs[looking.count++] = (job){.op = at->op, .which = IDEM__POSTGRES_GET};
    }
    if (looking.count == 0)
        return;
    int rc = run_once(&looking, &fault);
    all->self->committing = false; /* they have changed nothing */
    if (rc)
        fail_all(&looking, &fault);
}

static bool found_its_own(const idem_op *op)
{
    return op->record && op->has_found &&
           memcmp(op->record->token, op->found.token, sizeof op->found.token) == 0;
}

static int send_barrier(batch *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    size_t count = 0;
    all->frame = idem__postgres_frame_for(self, true);
    int rc = idem__postgres_frame_open(self, all->frame, true, all->deadline_ms, &count, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_send(self, IDEM__POSTGRES_BARRIER, NULL, all->deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_frame_close(self, all->frame, all->deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_finish(self, all->deadline_ms, fault);
    if (rc == IDEM_OK && self->doubtful)
        rc = idem__postgres_fault_set(fault, false, IDEM_ERR_UNCERTAIN,
                                      "%s did not wait for its synchronous standbys", self->name);
    return rc;
}

/* Of whoever has found a record of its own: what it stands on has to be as safe as an answer in time. */
static void make_sure(batch *all)
{
    idem__postgres_fault fault = {0};
    bool any = false;
    for (size_t i = 0; i < all->count; i++)
        any = any || found_its_own(all->jobs[i].op);
    if (!any || all->self->nested || send_barrier(all, &fault) == IDEM_OK)
        return;
    for (size_t i = 0; i < all->count; i++) {
        idem_op *op = all->jobs[i].op;
        if (!found_its_own(op))
            continue;
        take_back(op);
        idem_op_fail(op, false, IDEM_ERR_UNCERTAIN,
                     "%s; the change was made, and may be on this server alone",
                     fault.error.message);
    }
    if (!all->self->broken)
        idem__postgres_frame_undo(all->self, all->frame, all->deadline_ms);
}

/* ---------------------------------------------------------------------------------- the batch */

/* What can't be carried out as it is. False: all ops have their answers. */
static bool try_without(batch *all, const idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    if (all->sweep_bad && !self->broken) {
        self->sweep_failed =
            true; /* what is wrong with others' expired rows is no reason to fail */
        return true;
    }
    if (fault->no_writes && !self->broken && changes(all)) {
        read_instead(all, fault);
        return false;
    }
    if (!fault->of_one_op || all->bad >= all->count || (all->count > 1 && self->broken)) {
        fail_all(all, fault);
        return false;
    }
    idem_op *op = all->jobs[all->bad].op;
    if (!answer_rival(self, op, fault))
        fail(self, op, fault);
    drop_job(all, all->bad);
    return all->count > 0;
}

static bool lacks_rights(const idem__postgres *self, const batch *all, idem__postgres_fault *fault)
{
    if (self->may_write && self->may_read)
        return false;
    if (!changes(all) && self->may_read)
        return false;
    (void)idem__postgres_fault_take(fault, self->name, self->table, "42501");
    return true;
}

void idem__postgres_batch_run(idem__postgres *self, idem_op *const *ops, size_t count,
                              uint64_t deadline_ms)
{
    batch all = {.self = self, .deadline_ms = deadline_ms};
    idem__postgres_fault fault = {0};
    make_jobs(&all, ops, count);
    if (lacks_rights(self, &all, &fault)) {
        self->committing = false;
        if (self->may_read)
            read_instead(&all, &fault);
        else
            fail_all(&all, &fault);
        self->broken = true; /* they may be granted: the next call asks again */
        return;
    }
    while (run_once(&all, &fault)) {
        if (!try_without(&all, &fault)) {
            idem__postgres_done(self, &fault);
            return;
        }
        memset(&fault, 0, sizeof fault);
    }
    look_again(&all);
    if (!self->broken)
        make_sure(&all);
    idem__postgres_done(self, &fault);
}
