/* SPDX-License-Identifier: MIT */
/*
 * Ops as one transaction in one pipeline: one round trip, one flush to the disk. They are carried
 * out in the order of their keys, so that batches of several processes don't wait for one another
 * in a circle; those on one key stay in their order.
 *
 * Answers are filled in as results come, and taken back if the transaction does not stand in the
 * end.
 */
#include "jobs.h"

#include "row.h"
#include "run.h"
#include "expiry.h"
#include "wire.h"

#include <stdlib.h>

#define TEXT_KEPT_MAX 65536u /* capacity that an instance may keep */

void idem__postgres_jobs_take_back(idem_op *op)
{
    idem_record_clear(&op->found);
    memset(&op->error, 0, sizeof op->error);
    op->applied = false;
    op->has_found = false;
    op->permanent = false;
}

/* ------------------------------------------------------------------------- building a pipeline */

static idem__postgres_job make_job(idem_op *op, uint32_t place)
{
    static const idem__postgres_sql statements[] = {
        [IDEM_OP_INSERT] = IDEM__POSTGRES_INSERT,
        [IDEM_OP_REPLACE] = IDEM__POSTGRES_REPLACE,
        [IDEM_OP_REMOVE] = IDEM__POSTGRES_REMOVE,
        [IDEM_OP_GET] = IDEM__POSTGRES_GET,
    };
    idem__postgres_job made = {.op = op, .place = place, .which = statements[op->kind]};
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
    const idem__postgres_job *a = one;
    const idem__postgres_job *b = other;
    int order = compare_keys(&a->op->key, &b->op->key);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

void idem__postgres_jobs_make(idem__postgres_jobs *all, idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        all->jobs[i] = make_job(ops[i], (uint32_t)i);
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

static int send_look(idem__postgres_jobs *all, const idem__postgres_job *at,
                     idem__postgres_fault *fault)
{
    idem__postgres_params params = {0};
    idem__postgres_param_bytes(&params, at->op->key);
    return idem__postgres_wire_send(all->self, IDEM__POSTGRES_GET, &params, all->deadline_ms,
                                    fault);
}

static int send_job(idem__postgres_jobs *all, const idem__postgres_job *at,
                    idem__postgres_fault *fault)
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

bool idem__postgres_jobs_change(const idem__postgres_jobs *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->jobs[i].which != IDEM__POSTGRES_GET)
            return true;
    }
    return false;
}

static bool is_insert(const idem__postgres_job *at)
{
    return at->which == IDEM__POSTGRES_INSERT || at->which == IDEM__POSTGRES_INSERT_NEW;
}

static size_t count_inserts(const idem__postgres_jobs *all)
{
    size_t inserts = 0;
    for (size_t i = 0; i < all->count; i++)
        inserts += is_insert(&all->jobs[i]);
    return inserts;
}

static int send_all(idem__postgres_jobs *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    bool change = idem__postgres_jobs_change(all);
    size_t inserts = count_inserts(all);
    all->frame = idem__postgres_frame_for(self, change);
    all->bad = IDEM__POSTGRES_NO_JOB;
    all->sweep_bad = false;
    all->grouped = false;
    all->sweeps = inserts > 0 && !self->nested && !idem__postgres_expiry_is_ahead(self, inserts);
    int rc = idem__postgres_frame_open(self, all->frame, change, all->deadline_ms, &all->in_front,
                                       fault);
    for (size_t i = 0, run = 1; rc == IDEM_OK && i < all->count; i += run) {
        run = idem__postgres_run_length(all, i);
        all->jobs[i].run = (uint32_t)run;
        rc = run > 1 ? idem__postgres_run_send(all, i, run, fault)
                     : send_job(all, &all->jobs[i], fault);
        if (rc && fault->of_one_op)
            all->bad = i;
    }
    if (rc == IDEM_OK && all->sweeps)
        rc = idem__postgres_expiry_send_sweep(self, inserts, all->jobs[0].op->key, all->deadline_ms,
                                              fault);
    return rc ? rc : idem__postgres_frame_close(self, all->frame, all->deadline_ms, fault);
}

/* ------------------------------------------------------------------------------ taking answers */

static void take_found(const idem__postgres_jobs *all, const idem__postgres_job *at,
                       const PGresult *result)
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

static void take_result(const idem__postgres_jobs *all, const idem__postgres_job *at,
                        PGresult *result)
{
    const idem__pq *pq = all->self->pq;
    switch (at->which) {
    case IDEM__POSTGRES_REPLACE:
    case IDEM__POSTGRES_REMOVE:
    case IDEM__POSTGRES_REMOVE_ANY:
    case IDEM__POSTGRES_INSERT_NEW:
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

static int take_job(idem__postgres_jobs *all, size_t index, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    const idem__postgres_job *at = &all->jobs[index];
    PGresult *result;
    int rc = idem__postgres_wire_next(self, all->deadline_ms, &result, fault);
    if (rc == IDEM_OK && at->op)
        take_result(all, at, result);
    self->pq->PQclear(result);
    if (rc == IDEM_OK && at->looks) {
        rc = idem__postgres_wire_next(self, all->deadline_ms, &result, fault);
        if (rc == IDEM_OK && at->op && !at->op->has_found && !at->op->error.code)
            take_found(all, at, result);
        self->pq->PQclear(result);
    }
    if (rc)
        all->bad = index;
    return rc;
}

/* The commit is what counts. */
static int take_end(idem__postgres_jobs *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    int rc = idem__postgres_wire_finish(self, all->deadline_ms, fault);
    if (rc || !self->pipe->doubtful || self->nested || !idem__postgres_jobs_change(all))
        return rc;
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNCERTAIN,
                                    "%s has committed it with a warning, as when the wait for its "
                                    "synchronous standbys is cancelled",
                                    self->name);
}

static int take_all(idem__postgres_jobs *all, idem__postgres_fault *fault)
{
    idem__postgres *self = all->self;
    int rc = idem__postgres_frame_pass(self, all->in_front, all->deadline_ms, fault);
    for (size_t i = 0, run = 1; rc == IDEM_OK && i < all->count; i += run) {
        run = all->jobs[i].run;
        rc = run > 1 ? idem__postgres_run_take(all, i, run, fault) : take_job(all, i, fault);
    }
    if (rc == IDEM_OK && all->sweeps) {
        rc = idem__postgres_expiry_take_sweep(self, all->deadline_ms, fault);
        all->sweep_bad = rc != IDEM_OK;
    }
    if (rc == IDEM_OK)
        return take_end(all, fault);
    if (!self->broken || self->pipe->ended)
        (void)idem__postgres_wire_finish(self, all->deadline_ms, fault);
    return rc;
}

/* What was sent of a pipeline that could not be built to its end must not be committed: without
   a frame of its own, its end would do that. */
static void spoil(idem__postgres_jobs *all)
{
    idem__postgres *self = all->self;
    idem__postgres_fault unused = {0};
    self->pipe->committing = false;
    if (all->frame == IDEM__POSTGRES_BARE)
        self->broken = true;
    else if (!self->broken)
        (void)idem__postgres_wire_sync(self, &unused);
    self->pipe->committing = false;
}

int idem__postgres_jobs_send(idem__postgres_jobs *all, idem__postgres_fault *fault)
{
    int rc = send_all(all, fault);
    if (rc)
        spoil(all);
    return rc;
}

int idem__postgres_jobs_take(idem__postgres_jobs *all, idem__postgres_fault *fault)
{
    int rc = take_all(all, fault);
    for (size_t i = 0; rc && i < all->count; i++) {
        if (all->jobs[i].op)
            idem__postgres_jobs_take_back(all->jobs[i].op);
    }
    return rc;
}

void idem__postgres_jobs_forget(idem__postgres_jobs *all)
{
    size_t left = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (all->jobs[i].op)
            all->jobs[left++] = all->jobs[i];
        else if (i == all->bad)
            all->bad =
                IDEM__POSTGRES_NO_JOB; /* with it the cause is gone, as far as that is known */
        else if (all->bad != IDEM__POSTGRES_NO_JOB && i < all->bad)
            all->bad--;
    }
    all->count = left;
}
