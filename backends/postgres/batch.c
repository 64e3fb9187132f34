/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops: the pipeline of jobs.c, and what it takes where that is refused. If one op is
 * to blame it is answered, and the others are carried out without it. Where the server refuses
 * changes, inserts are looked up instead: what is completed is replayed all the same.
 *
 * A caller that finds a record with its own token asks again after a lost answer. That record may
 * be committed on this server alone, and be lost with it. A commit of the caller's has to reach the
 * standbys first; it carries everything before it along.
 */
#include "batch.h"

#include "connection.h"
#include "jobs.h"
#include "wire.h"

#define FRESH_ENOUGH   4u    /* inserts of new keys in a row */
#define UNLOOKED_MAX   64u   /* after so many batches it is tried whether a server has come near */
#define NEAR_US        300u  /* a server that is looked up so quickly is near */
#define RIVAL_RETRY_MS 1000u /* a transaction that is open has no lease to be told */

typedef idem__postgres_jobs batch;
typedef idem__postgres_job job;

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

/* ------------------------------------------------------------------------- what goes otherwise */

/* A key that a transaction which is still open has inserted is in progress there, whatever
   becomes of it. That is told where such transactions are usual; a store of its own rather asks
   again, since what holds the key may be a commit of its own whose answer was lost. */
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
    int rc = all->count > 0 ? idem__postgres_jobs_run(all, &fault) : IDEM_OK;
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

/* What was not changed and not found either is looked up: what is in its way was committed
   after its statement had begun, or is of another version. */
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
    int rc = idem__postgres_jobs_run(&looking, &fault);
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

/* A caller that has found its own record relies on it: the record has to be as safe as one whose
   answer came in time. */
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
        idem__postgres_jobs_take_back(op);
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
    if (fault->no_writes && !self->broken && idem__postgres_jobs_change(all)) {
        read_instead(all, fault);
        return false;
    }
    if (fault->of_one_op && all->grouped && all->bad >= all->count && !self->broken) {
        all->singly = true; /* to find the op that fails */
        return true;
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

/* A look costs the server half of what an insert costs that finds something. So where the
   server is near, and the last inserts have not all been of new keys, they are looked up first. */
static bool is_worth_a_look(idem__postgres *self)
{
    return !self->joined && !self->pooled && self->fresh < FRESH_ENOUGH &&
           (self->round_trip_us < NEAR_US || ++self->unlooked % UNLOOKED_MAX == 0);
}

/* The shortest of the last looks counts: the longer ones say how busy this machine is. */
static void learn_distance(idem__postgres *self, uint32_t took_us)
{
    uint32_t slack_us = self->round_trip_us / 32 + 1;
    self->round_trip_us =
        took_us < self->round_trip_us + slack_us ? took_us : self->round_trip_us + slack_us;
}

/* Answers the inserts that find something. IDEM_OK: the others are left in `all`. */
static int look_up(batch *all, idem__postgres_fault *fault)
{
    batch looking = {.self = all->self, .deadline_ms = all->deadline_ms};
    size_t left = 0;
    for (size_t i = 0; i < all->count; i++) {
        const job *at = &all->jobs[i];
        bool followed = at->looks || (i > 0 && all->jobs[i - 1].looks);
        if (at->which == IDEM__POSTGRES_INSERT && !followed)
            looking.jobs[looking.count++] = (job){.op = at->op, .which = IDEM__POSTGRES_GET};
    }
    if (looking.count == 0)
        return IDEM_OK;
    uint32_t began_us = idem__postgres_wire_now_us();
    int rc = idem__postgres_jobs_run(&looking, fault);
    all->self->committing = false; /* they have changed nothing */
    if (rc)
        return rc;
    learn_distance(all->self, idem__postgres_wire_now_us() - began_us);
    for (size_t i = 0; i < all->count; i++) {
        if (!all->jobs[i].op->has_found && !all->jobs[i].op->error.code)
            all->jobs[left++] = all->jobs[i];
    }
    all->count = left;
    return IDEM_OK;
}

static void learn(idem__postgres *self, idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind == IDEM_OP_INSERT && ops[i]->has_found)
            self->fresh = 0;
        else if (ops[i]->kind == IDEM_OP_INSERT && ops[i]->applied && self->fresh < FRESH_ENOUGH)
            self->fresh++;
    }
}

static bool lacks_rights(const idem__postgres *self, const batch *all, idem__postgres_fault *fault)
{
    if (self->may_write && self->may_read)
        return false;
    if (!idem__postgres_jobs_change(all) && self->may_read)
        return false;
    (void)idem__postgres_fault_take(fault, self->name, self->table, "42501");
    return true;
}

void idem__postgres_batch_run(idem__postgres *self, idem_op *const *ops, size_t count,
                              uint64_t deadline_ms)
{
    batch all = {.self = self, .deadline_ms = deadline_ms};
    idem__postgres_fault fault = {0};
    idem__postgres_jobs_make(&all, ops, count);
    if (lacks_rights(self, &all, &fault)) {
        self->committing = false;
        if (self->may_read)
            read_instead(&all, &fault);
        else
            fail_all(&all, &fault);
        self->broken = true; /* they may be granted: the next call asks again */
        return;
    }
    if (is_worth_a_look(self) && look_up(&all, &fault)) {
        fail_all(&all, &fault);
        idem__postgres_done(self, &fault);
        return;
    }
    while (all.count > 0 && idem__postgres_jobs_run(&all, &fault)) {
        if (!try_without(&all, &fault)) {
            idem__postgres_done(self, &fault);
            return;
        }
        memset(&fault, 0, sizeof fault);
    }
    look_again(&all);
    idem__postgres_jobs_make(&all, ops, count); /* those that were looked up, too */
    if (!self->broken)
        make_sure(&all);
    learn(self, ops, count);
    idem__postgres_done(self, &fault);
}
