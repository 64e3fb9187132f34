/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops: the pipeline of jobs.c, and what it takes where that is refused. If one op is
 * to blame it is answered, and the others are carried out without it. Where the server refuses
 * changes, inserts are looked up instead: what is completed is replayed all the same. Each of
 * these steps is a flight of its own, and none is waited for: what comes next is decided when one
 * has landed.
 *
 * A caller that finds a record with its own token asks again after a lost answer. That record may
 * be committed on this server alone, and be lost with it. A commit of the caller's has to reach the
 * standbys first; it carries everything before it along.
 */
#include "batch.h"

#include "connection.h"
#include "dial.h"
#include "wire.h"

#define FRESH_ENOUGH   4u    /* inserts of new keys in a row */
#define UNLOOKED_MAX   64u   /* after so many batches it is tried whether a server has come near */
#define NEAR_US        300u  /* a server that is looked up so quickly is near */
#define RIVAL_RETRY_MS 1000u /* a transaction that is open has no lease to be told */

typedef idem__postgres_flight flight;
typedef idem__postgres_job job;

/* ---------------------------------------------------------------------------- giving ops back */

static void learn(idem__postgres *self, const idem_op *op)
{
    if (op->kind == IDEM_OP_INSERT && op->has_found)
        self->fresh = 0;
    else if (op->kind == IDEM_OP_INSERT && op->applied && self->fresh < FRESH_ENOUGH)
        self->fresh++;
}

static void give(idem__postgres *self, idem_op *op)
{
    if (!op)
        return;
    learn(self, op);
    idem__postgres_flight_give(self, op);
}

static void give_all(const flight *from)
{
    for (size_t i = 0; i < from->all.count; i++)
        give(from->all.self, from->all.jobs[i].op);
}

/* Inside a caller's transaction nothing is repeated: by then it may be another one. */
static void fail(idem__postgres *self, idem_op *op, bool may_be_made,
                 const idem__postgres_fault *fault)
{
    self->no_memory = self->no_memory || fault->error.code == IDEM_ERR_NO_MEMORY;
    bool permanent = fault->permanent || self->nested;
    if (self->nested && self->broken)
        idem_op_fail(op, true, fault->error.code,
                     "%.180s; your transaction is gone with it: begin a new one",
                     fault->error.message);
    else if (may_be_made && op->kind != IDEM_OP_GET && !self->nested)
        idem_op_fail(op, false, IDEM_ERR_UNCERTAIN, "%s; the change may have been made",
                     fault->error.message);
    else
        idem_op_fail(op, permanent, fault->error.code, "%s", fault->error.message);
}

/* What was found by its own caller relies on the commit that could not be made. */
static void fail_found(idem_op *op, const idem__postgres_fault *fault)
{
    idem__postgres_jobs_take_back(op);
    idem_op_fail(op, false, IDEM_ERR_UNCERTAIN,
                 "%s; the change was made, and may be on this server alone", fault->error.message);
}

static void fail_all(const flight *from, const idem__postgres_fault *fault)
{
    idem__postgres *self = from->all.self;
    bool may_be_made = from->purpose == IDEM__POSTGRES_FLIES_MAIN && from->pipe.committing;
    for (size_t i = 0; i < from->all.count; i++) {
        idem_op *op = from->all.jobs[i].op;
        if (op && from->purpose == IDEM__POSTGRES_FLIES_BARRIER)
            fail_found(op, fault);
        else if (op)
            fail(self, op, may_be_made, fault);
        give(self, op);
    }
}

void idem__postgres_batch_fail(idem__postgres_flight *from, const idem__postgres_fault *fault)
{
    fail_all(from, fault);
    idem__postgres_flight_free(from->all.self, from);
}

static void fail_for_memory(idem__postgres *self, idem_op *op)
{
    idem_op_fail(op, true, IDEM_ERR_NO_MEMORY, "out of memory");
    give(self, op);
}

/* A flight that goes on with some of the jobs, or ends if there are none. */
static void go_on(flight *with, idem__postgres_purpose purpose)
{
    with->purpose = purpose;
    if (with->all.count > 0)
        idem__postgres_flight_enqueue(with->all.self, with, false);
    else
        idem__postgres_flight_free(with->all.self, with);
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

/* The server can be read: what is completed is replayed, and the others are told why not. */
static void read_instead(flight *with, const idem__postgres_fault *why)
{
    idem__postgres *self = with->all.self;
    size_t left = 0;
    for (size_t i = 0; i < with->all.count; i++) {
        idem_op *op = with->all.jobs[i].op;
        if (op->kind == IDEM_OP_INSERT || op->kind == IDEM_OP_GET) {
            with->all.jobs[left++] = (job){.op = op, .which = IDEM__POSTGRES_GET};
        } else {
            fail(self, op, false, why);
            give(self, op);
        }
    }
    with->all.count = left;
    with->why = *why;
    go_on(with, IDEM__POSTGRES_FLIES_READ);
}

static bool found_its_own(const idem_op *op)
{
    return op->record && op->has_found &&
           memcmp(op->record->token, op->found.token, sizeof op->found.token) == 0;
}

/* A caller that has found its own record relies on it: the record has to be as safe as one whose
   answer came in time. The others are given back. */
static void give_or_make_sure(flight *with)
{
    idem__postgres *self = with->all.self;
    size_t left = 0;
    for (size_t i = 0; i < with->all.count; i++) {
        idem_op *op = with->all.jobs[i].op;
        if (found_its_own(op) && !self->nested)
            with->all.jobs[left++].op = op;
        else
            give(self, op);
    }
    with->all.count = left;
    go_on(with, IDEM__POSTGRES_FLIES_BARRIER);
}

/* What was not changed and not found either is looked up: what is in its way was committed
   after its statement had begun, or is of another version. */
static void look_again(flight *with)
{
    idem__postgres *self = with->all.self;
    flight *again = idem__postgres_flight_new(self, IDEM__POSTGRES_FLIES_AGAIN);
    size_t left = 0;
    for (size_t i = 0; i < with->all.count; i++) {
        job at = with->all.jobs[i];
        bool open = !at.op->applied && !at.op->has_found && !at.op->error.code && !at.looks &&
                    at.which != IDEM__POSTGRES_GET && at.which != IDEM__POSTGRES_REMOVE_ANY;
        if (!open)
            with->all.jobs[left++] = at;
        else if (again)
            again->all.jobs[again->all.count++] =
                (job){.op = at.op,
                      .which = IDEM__POSTGRES_GET,
                      .again = at.which == IDEM__POSTGRES_INSERT_NEW};
        else
            fail_for_memory(self, at.op);
    }
    with->all.count = left;
    if (again)
        go_on(again, IDEM__POSTGRES_FLIES_AGAIN);
}

static int send_barrier(flight *with, idem__postgres_fault *fault)
{
    idem__postgres *self = with->all.self;
    idem__postgres_jobs *all = &with->all;
    all->frame = idem__postgres_frame_for(self, true);
    int rc =
        idem__postgres_frame_open(self, all->frame, true, all->deadline_ms, &all->in_front, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_send(self, IDEM__POSTGRES_BARRIER, NULL, all->deadline_ms, fault);
    return rc ? rc : idem__postgres_frame_close(self, all->frame, all->deadline_ms, fault);
}

static int take_barrier(flight *from, idem__postgres_fault *fault)
{
    idem__postgres *self = from->all.self;
    int rc = idem__postgres_wire_finish(self, from->all.deadline_ms, fault);
    if (rc || !self->pipe->doubtful)
        return rc;
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNCERTAIN,
                                    "%s did not wait for its synchronous standbys", self->name);
}

/* ------------------------------------------------------------------------------- first looking */

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

/* Inserts go into a flight that looks them up. */
static void look_first(flight *with)
{
    flight *first = idem__postgres_flight_new(with->all.self, IDEM__POSTGRES_FLIES_FIRST);
    size_t left = 0;
    if (!first)
        return;
    for (size_t i = 0; i < with->all.count; i++) {
        job at = with->all.jobs[i];
        bool followed = at.looks || (i > 0 && with->all.jobs[i - 1].looks);
        if (at.which == IDEM__POSTGRES_INSERT && !followed)
            first->all.jobs[first->all.count++] = (job){.op = at.op, .which = IDEM__POSTGRES_GET};
        else
            with->all.jobs[left++] = at;
    }
    with->all.count = left;
    go_on(first, IDEM__POSTGRES_FLIES_FIRST);
}

/* Those that were not found are made, unless it was seen that they can't be. */
static void make_the_others(flight *with)
{
    idem__postgres *self = with->all.self;
    flight *main = idem__postgres_flight_new(self, IDEM__POSTGRES_FLIES_MAIN);
    size_t left = 0;
    for (size_t i = 0; i < with->all.count; i++) {
        idem_op *op = with->all.jobs[i].op;
        bool open = with->purpose == IDEM__POSTGRES_FLIES_FIRST || with->all.jobs[i].again;
        if (op->has_found || op->error.code || !open)
            with->all.jobs[left++].op = op;
        else if (main)
            main->all.jobs[main->all.count++] = (job){.op = op, .which = IDEM__POSTGRES_INSERT};
        else
            fail_for_memory(self, op);
    }
    with->all.count = left;
    if (main)
        go_on(main, IDEM__POSTGRES_FLIES_MAIN);
    give_or_make_sure(with);
}

/* ------------------------------------------------------------------------------------- landing */

static void undo(flight *after)
{
    idem__postgres *self = after->all.self;
    if (self->broken || after->all.frame == IDEM__POSTGRES_BARE)
        return;
    flight *undoing = idem__postgres_flight_new(self, IDEM__POSTGRES_FLIES_UNDO);
    if (!undoing) {
        self->broken = true;
        return;
    }
    undoing->all.frame = after->all.frame;
    idem__postgres_flight_enqueue(self, undoing, true);
}

static void land_refused(flight *from, const idem__postgres_fault *fault)
{
    idem__postgres *self = from->all.self;
    idem__postgres_jobs *all = &from->all;
    bool blamed = all->bad < all->count;
    if (all->sweep_bad && !self->broken) {
        self->sweep_failed =
            true; /* what is wrong with others' expired rows is no reason to fail */
        go_on(from, IDEM__POSTGRES_FLIES_MAIN);
    } else if (fault->no_writes && !self->broken && idem__postgres_jobs_change(all)) {
        read_instead(from, fault);
    } else if (fault->of_one_op && all->grouped && !blamed && !self->broken) {
        all->singly = true; /* to find the op that is to blame */
        go_on(from, IDEM__POSTGRES_FLIES_MAIN);
    } else if (!fault->of_one_op || !blamed || (all->count > 1 && self->broken)) {
        idem__postgres_batch_fail(from, fault);
    } else {
        idem_op *op = all->jobs[all->bad].op;
        if (!answer_rival(self, op, fault))
            fail(self, op, from->pipe.committing, fault);
        give(self, op);
        all->count--;
        memmove(&all->jobs[all->bad], &all->jobs[all->bad + 1],
                (all->count - all->bad) * sizeof all->jobs[0]);
        go_on(from, IDEM__POSTGRES_FLIES_MAIN);
    }
}

static void land_read(flight *from)
{
    idem__postgres *self = from->all.self;
    for (size_t i = 0; i < from->all.count; i++) {
        idem_op *op = from->all.jobs[i].op;
        if (op->kind == IDEM_OP_INSERT && !op->has_found)
            fail(self, op, false, &from->why);
    }
    give_all(from);
    idem__postgres_flight_free(self, from);
}

static void land_well(flight *from)
{
    idem__postgres *self = from->all.self;
    switch (from->purpose) {
    case IDEM__POSTGRES_FLIES_FIRST:
        if (from->alone)
            learn_distance(self, idem__postgres_wire_now_us() - from->began_us);
        make_the_others(from);
        return;
    case IDEM__POSTGRES_FLIES_MAIN:
        look_again(from);
        give_or_make_sure(from);
        return;
    case IDEM__POSTGRES_FLIES_AGAIN:
        make_the_others(from);
        return;
    case IDEM__POSTGRES_FLIES_READ:
        land_read(from);
        return;
    case IDEM__POSTGRES_FLIES_BARRIER:
        give_all(from);
        break;
    case IDEM__POSTGRES_FLIES_UNDO:
    default:
        break;
    }
    idem__postgres_flight_free(self, from);
}

static int take(flight *from, idem__postgres_fault *fault)
{
    idem__postgres *self = from->all.self;
    idem__postgres_purpose purpose = from->purpose;
    if (from->why.error.code && purpose != IDEM__POSTGRES_FLIES_READ) {
        idem__postgres_fault unused = {0}; /* it was not sent as a whole */
        if (!self->broken)
            (void)idem__postgres_wire_finish(self, from->all.deadline_ms, &unused);
        *fault = from->why;
        return fault->error.code;
    }
    if (purpose == IDEM__POSTGRES_FLIES_BARRIER)
        return take_barrier(from, fault);
    if (purpose == IDEM__POSTGRES_FLIES_UNDO)
        return idem__postgres_wire_finish(self, from->all.deadline_ms, fault);
    return idem__postgres_jobs_take(&from->all, fault);
}

void idem__postgres_batch_land(idem__postgres_flight *from)
{
    idem__postgres *self = from->all.self;
    idem__postgres_fault fault = {0};
    int rc = take(from, &fault);
    idem__postgres_jobs_forget(&from->all);
    if (from->purpose == IDEM__POSTGRES_FLIES_UNDO) {
        self->broken = self->broken || rc;
        idem__postgres_flight_free(self, from);
        return;
    }
    if (rc || from->purpose == IDEM__POSTGRES_FLIES_MAIN)
        idem__postgres_learn_refusal(self, &fault);
    if (fault.drop && !self->traffic.leaving) {
        self->traffic.leaving = true;
        self->traffic.fault = fault;
    }
    if (rc)
        undo(from);
    if (rc == IDEM_OK)
        land_well(from);
    else if (from->purpose == IDEM__POSTGRES_FLIES_MAIN)
        land_refused(from, &fault);
    else
        idem__postgres_batch_fail(from, &fault);
}

/* ---------------------------------------------------------------------------------- the batch */

int idem__postgres_batch_send(idem__postgres_flight *with, idem__postgres_fault *fault)
{
    idem__postgres *self = with->all.self;
    if (with->purpose == IDEM__POSTGRES_FLIES_UNDO)
        return idem__postgres_frame_send_undo(self, with->all.frame, with->all.deadline_ms, fault);
    if (with->purpose == IDEM__POSTGRES_FLIES_BARRIER)
        return send_barrier(with, fault);
    return idem__postgres_jobs_send(&with->all, fault);
}

static bool lacks_rights(const idem__postgres *self, const idem__postgres_jobs *all,
                         idem__postgres_fault *fault)
{
    if (self->may_write && self->may_read)
        return false;
    if (!idem__postgres_jobs_change(all) && self->may_read)
        return false;
    (void)idem__postgres_fault_take(fault, self->name, self->table, "42501");
    return true;
}

/* The last inserts were all of new keys. */
static void expect_new(idem__postgres_jobs *all)
{
    for (size_t i = 0; i < all->count; i++) {
        bool followed = all->jobs[i].looks || (i > 0 && all->jobs[i - 1].looks);
        if (all->jobs[i].which == IDEM__POSTGRES_INSERT && !followed)
            all->jobs[i].which = IDEM__POSTGRES_INSERT_NEW;
    }
}

/* They may be granted: the next connection asks again. */
static void refuse_for_rights(flight *with, const idem__postgres_fault *fault)
{
    idem__postgres *self = with->all.self;
    self->traffic.leaving = true;
    self->traffic.fault = *fault;
    if (self->may_read)
        read_instead(with, fault);
    else
        idem__postgres_batch_fail(with, fault);
}

void idem__postgres_batch_begin(idem__postgres *self, idem_op *const *ops, size_t count)
{
    idem__postgres_fault fault = {0};
    flight *with = idem__postgres_flight_new(self, IDEM__POSTGRES_FLIES_MAIN);
    for (size_t i = 0; !with && i < count; i++)
        fail_for_memory(self, ops[i]);
    if (!with)
        return;
    idem__postgres_jobs_make(&with->all, ops, count);
    if (lacks_rights(self, &with->all, &fault)) {
        refuse_for_rights(with, &fault);
        return;
    }
    if (self->fresh >= FRESH_ENOUGH)
        expect_new(&with->all);
    else if (is_worth_a_look(self))
        look_first(with);
    go_on(with, IDEM__POSTGRES_FLIES_MAIN);
}

void idem__postgres_batch_run(idem__postgres *self, idem_op *const *ops, size_t count,
                              uint64_t deadline_ms)
{
    idem__postgres_traffic *traffic = &self->traffic;
    size_t before = traffic->done_count; /* of ops that were sent otherwise */
    traffic->deadline_ms = deadline_ms;
    traffic->waits = true;
    idem__postgres_batch_begin(self, ops, count);
    idem__postgres_flight_settle(self, deadline_ms);
    traffic->waits = false;
    traffic->done_count = before;
    if ((self->broken || traffic->leaving) && !self->joined)
        idem__postgres_hang_up(self);
    traffic->leaving = false;
}

void idem__postgres_batch_refuse(idem__postgres *self, idem_op *const *ops, size_t count,
                                 const idem__postgres_fault *fault)
{
    for (size_t i = 0; i < count; i++)
        fail(self, ops[i], false, fault);
}
