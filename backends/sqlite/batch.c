/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops as one transaction: one lock and one sync for all of them. A batch that only reads
 * never takes the write lock. One change alone is the transaction that SQLite makes of any
 * statement. A batch of large records becomes several transactions, so that other processes get the
 * lock in between and the log stays short.
 *
 * At first the lock is not waited for. If another connection has it, inserts are looked up before
 * they wait: what is there needs no lock to be told.
 *
 * Answers are filled in as the ops are carried out, and taken back if the transaction does not
 * stand in the end: nothing is reported as applied that was rolled back. If one op may be to blame,
 * each is then carried out in a transaction of its own, so that it fails alone.
 */
#include "batch.h"

#include "wal_trim.h"
#include "clock.h"
#include "row.h"
#include "transaction.h"
#include "expiry.h"
#include "origin.h"

/* What the records of one transaction have together, unless one alone has more. */
#define TRANSACTION_BYTES ((size_t)8 * 1024 * 1024)

static size_t bytes_of(const idem_op *op)
{
    return op->record ? op->record->response.len + op->record->checkpoint.len : 0;
}

bool idem__sqlite_batch_reads(idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind != IDEM_OP_GET)
            return false;
    }
    return true;
}

/* The row of another clock may be older than it says: as old as it has been known. */
static uint64_t age_of_stray(idem__sqlite *self, sqlite3_stmt *statement,
                             const idem__sqlite_now *now, const idem_record *row)
{
    idem__sqlite_date date = idem__sqlite_row_date(statement);
    if (!idem__sqlite_clock_is_stray(now, &date))
        return 0;
    self->met_strays = true;
    return idem__sqlite_clock_known_ms(self, row->version);
}

static void answer_found(idem__sqlite *self, sqlite3_stmt *statement, const idem__sqlite_now *now,
                         idem_op *op)
{
    idem_record row;
    idem_error error = {0};
    uint64_t age_ms = 0;
    if (!idem__sqlite_row_is_live(statement, now, &age_ms))
        return;
    int rc = idem__sqlite_row_read(statement, &row, &error);
    row.age_ms = age_ms;
    if (rc == IDEM_OK && age_ms == 0)
        row.age_ms = age_of_stray(self, statement, now, &row);
    if (rc == IDEM_OK)
        rc = idem_record_copy(&row, &op->found, &error);
    if (rc == IDEM_OK)
        op->has_found = true;
    else
        idem_op_fail(op, true, rc, "%s", error.message);
}

/* Finds what is there. */
static int find(idem__sqlite *self, idem_op *op, const idem__sqlite_now *now,
                idem__sqlite_fault *fault)
{
    sqlite3_stmt *statement = idem__sqlite_statement(self, IDEM__SQLITE_GET, fault);
    if (!statement)
        return fault->error.code;
    int code = idem__sqlite_row_bind_bytes(statement, IDEM__SQLITE_P_KEY, op->key);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, statement);
    if (code == SQLITE_ROW)
        answer_found(self, statement, now, op);
    idem__sqlite_done(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return IDEM_OK;
    return idem__sqlite_fault_take(self, code, fault);
}

static int bind_change(sqlite3_stmt *statement, const idem_op *op, const idem__sqlite_now *now)
{
    int code = idem__sqlite_row_bind_bytes(statement, IDEM__SQLITE_P_KEY, op->key);
    if (code == SQLITE_OK)
        code = idem__sqlite_clock_bind(statement, now);
    if (code == SQLITE_OK && op->kind != IDEM_OP_INSERT)
        code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_EXPECTED, (int64_t)op->expected);
    if (code == SQLITE_OK && op->kind == IDEM_OP_REMOVE)
        code = sqlite3_bind_int(statement, IDEM__SQLITE_P_ANY, op->any_version);
    else if (code == SQLITE_OK)
        code = idem__sqlite_row_bind(statement, op->record, op->live_ms);
    return code;
}

/* Makes the change if what is there allows it; else finds what is there. */
static int change(idem__sqlite *self, idem__sqlite_sql which, idem_op *op,
                  const idem__sqlite_now *now, idem__sqlite_fault *fault)
{
    sqlite3_stmt *statement = idem__sqlite_statement(self, which, fault);
    if (!statement)
        return fault->error.code;
    int code = bind_change(statement, op, now);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, statement);
    idem__sqlite_done(statement);
    if (code != SQLITE_DONE)
        return self->committing ? idem__sqlite_fault_take_commit(self, code, fault)
                                : idem__sqlite_fault_take(self, code, fault);
    op->applied = sqlite3_changes(self->db) > 0;
    if (op->applied || (op->kind == IDEM_OP_REMOVE && op->any_version))
        return IDEM_OK;
    return find(self, op, now, fault);
}

static int carry_out(idem__sqlite *self, idem_op *op, const idem__sqlite_now *now,
                     idem__sqlite_fault *fault)
{
    switch (op->kind) {
    case IDEM_OP_INSERT:
        return change(self, IDEM__SQLITE_INSERT, op, now, fault);
    case IDEM_OP_REPLACE:
        return change(self, IDEM__SQLITE_REPLACE, op, now, fault);
    case IDEM_OP_REMOVE:
        return change(self, IDEM__SQLITE_REMOVE, op, now, fault);
    case IDEM_OP_GET:
        return find(self, op, now, fault);
    }
    idem_op_fail(op, true, IDEM_ERR_INTERNAL, "operation %d is not known", (int)op->kind);
    return IDEM_OK;
}

/* @return false: what was in the way of the insert has gone since, and it takes a transaction to
   tell */
static bool run_alone(idem__sqlite *self, idem_op *op, idem__sqlite_fault *fault, int *rc)
{
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    if (!self->noted)
        idem__sqlite_origin_note(self);
    *rc = carry_out(self, op, &now, fault);
    return *rc || op->kind != IDEM_OP_INSERT || op->applied || op->has_found || op->error.code;
}

static int run_once(idem__sqlite *self, idem_op *const *ops, size_t count,
                    idem__sqlite_fault *fault)
{
    int rc = IDEM_OK;
    size_t inserts = 0;
    size_t bytes = 0;
    bool reads = idem__sqlite_batch_reads(ops, count);
    for (size_t i = 0; i < count; i++) {
        inserts += ops[i]->kind == IDEM_OP_INSERT;
        bytes += bytes_of(ops[i]);
    }
    self->committing = false;
    /* A single change needs no BEGIN and COMMIT, which cost a tenth. It uses the time as it is now,
       so this way is not taken if the lock has to be waited for, nor if a sweep is due. */
    bool alone =
        !reads && self->no_wait && count == 1 && idem__sqlite_expiry_is_ahead(self, inserts, bytes);
    if (alone && run_alone(self, ops[0], fault, &rc))
        return rc;
    bool transaction = !reads || (count > 1 && !self->nested);
    if (transaction)
        rc = idem__sqlite_begin(self, !reads, fault);
    if (rc)
        return rc;
    /* Not before: the lock may have been long in coming. */
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    for (size_t i = 0; rc == IDEM_OK && i < count; i++)
        rc = carry_out(self, ops[i], &now, fault);
    if (rc == IDEM_OK && !reads && !idem__sqlite_expiry_is_ahead(self, inserts, bytes))
        rc = idem__sqlite_expiry_sweep(self, inserts, bytes, &now, fault);
    if (!transaction)
        return rc;
    if (rc == IDEM_OK)
        return idem__sqlite_commit(self, fault);
    return idem__sqlite_rollback(self, fault);
}

static void take_back(idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        idem_record_clear(&ops[i]->found);
        memset(&ops[i]->error, 0, sizeof ops[i]->error);
        ops[i]->applied = false;
        ops[i]->has_found = false;
        ops[i]->permanent = false;
    }
}

void idem__sqlite_batch_fail(idem_op *const *ops, size_t count, const idem__sqlite_fault *fault)
{
    for (size_t i = 0; i < count; i++)
        idem_op_fail(ops[i], fault->permanent, fault->error.code, "%s", fault->error.message);
}

/* Carries out all or none. */
static int run(idem__sqlite *self, idem_op *const *ops, size_t count, idem__sqlite_fault *fault)
{
    bool swept = !self->sweep_failed;
    int rc = run_once(self, ops, count, fault);
    if (rc)
        take_back(ops, count);
    /* What is wrong with other people's expired rows is no reason to fail. */
    if (rc && swept && self->sweep_failed && !self->broken) {
        memset(fault, 0, sizeof *fault);
        rc = run_once(self, ops, count, fault);
        if (rc)
            take_back(ops, count);
    }
    return rc;
}

/* True if an op in front of this one may change what it finds. */
static bool is_behind_a_change(idem_op *const *ops, size_t index)
{
    const idem_bytes *key = &ops[index]->key;
    for (size_t i = 0; i < index; i++) {
        const idem_op *op = ops[i];
        if (op->kind != IDEM_OP_INSERT && op->kind != IDEM_OP_GET && op->key.len == key->len &&
            memcmp(op->key.data, key->data, key->len) == 0)
            return true;
    }
    return false;
}

/* Answers the inserts that find something, for as long as another has the lock. @return how many
   ops are left */
static size_t look_up_inserts(idem__sqlite *self, idem_op *const *ops, size_t count, idem_op **left)
{
    size_t left_count = 0;
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    for (size_t i = 0; i < count; i++) {
        idem__sqlite_fault unused = {0};
        if (ops[i]->kind == IDEM_OP_INSERT && !is_behind_a_change(ops, i))
            (void)find(self, ops[i], &now, &unused);
        if (!ops[i]->has_found && !ops[i]->error.code)
            left[left_count++] = ops[i];
    }
    return left_count;
}

/* What can't be carried out as a whole: all fail, or each is tried alone. */
static void fail_or_part(idem__sqlite *self, idem_op *const *ops, size_t count,
                         const idem__sqlite_fault *fault)
{
    if (count == 1 || !fault->of_one_op || self->broken) {
        idem__sqlite_batch_fail(ops, count, fault);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        idem__sqlite_fault own = {0};
        if (run(self, ops + i, 1, &own))
            idem__sqlite_batch_fail(ops + i, 1, &own);
    }
}

static bool may_date(idem__sqlite *self)
{
    if ((self->config->flags & IDEM_OPEN_EXISTING) || sqlite3_db_readonly(self->db, "main") == 1)
        return false;
    return !self->nested || sqlite3_txn_state(self->db, "main") == SQLITE_TXN_WRITE;
}

/* Dates stray rows anew. It waits for no lock. A failure is harmless, since the next reader does
   it; but if it rolls back the caller's transaction, the answers are void. */
static void date_strays(idem__sqlite *self, idem_op *const *ops, size_t count)
{
    idem__sqlite_fault lost = {0};
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    self->met_strays = false;
    sqlite3_stmt *date =
        may_date(self) ? idem__sqlite_statement(self, IDEM__SQLITE_DATE, &lost) : NULL;
    self->no_wait = true;
    for (size_t i = 0; date && i < count; i++) {
        int code = SQLITE_OK;
        if (ops[i]->has_found &&
            idem__sqlite_row_bind_bytes(date, IDEM__SQLITE_P_KEY, ops[i]->key) == SQLITE_OK &&
            idem__sqlite_clock_bind(date, &now) == SQLITE_OK)
            code = idem__sqlite_step(self, date);
        if (idem__sqlite_is_cut_off(self) && !lost.error.code)
            (void)idem__sqlite_fault_take(self, code, &lost);
        idem__sqlite_done(date);
    }
    self->no_wait = false;
    if (!idem__sqlite_is_cut_off(self))
        return;
    take_back(ops, count);
    idem__sqlite_batch_fail(ops, count, &lost);
}

/* Carries out ops that share a transaction. */
static void run_together(idem__sqlite *self, idem_op *const *ops, size_t count)
{
    idem_op *const *all = ops;
    size_t all_count = count;
    idem_op *left[IDEM_BATCH_MAX];
    idem__sqlite_fault fault = {0};
    /* On a caller's connection the caller decides how locks are waited for. */
    self->no_wait = !self->joined && !idem__sqlite_batch_reads(ops, count);
    int rc = run(self, ops, count, &fault);
    if (rc && self->no_wait && fault.of_lock && !self->broken) {
        count = look_up_inserts(self, ops, count, left);
        ops = left;
        self->no_wait = false;
        memset(&fault, 0, sizeof fault);
        rc = count > 0 ? run(self, ops, count, &fault) : IDEM_OK;
    }
    self->no_wait = false;
    if (rc)
        fail_or_part(self, ops, count, &fault);
    if (self->met_strays && !self->broken)
        date_strays(self, all, all_count);
}

/* How many of the ops go into one transaction: one, and more as long as they have few bytes. */
static size_t count_together(idem_op *const *ops, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += bytes_of(ops[i]);
        if (i > 0 && bytes > TRANSACTION_BYTES)
            return i;
    }
    return count;
}

/* True if nothing more can be carried out in this call; the fault says why. */
static bool is_over(idem__sqlite *self, idem__sqlite_fault *fault)
{
    if (self->broken)
        (void)idem__sqlite_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "%s: the connection failed", self->name);
    else if (idem_monotonic_ms() >= self->deadline_ms)
        (void)idem__sqlite_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "%s is too slow for what its callers write: the deadline came "
                                     "first; set a longer timeout",
                                     self->name);
    return fault->error.code != IDEM_OK;
}

void idem__sqlite_batch_run(idem__sqlite *self, idem_op *const *ops, size_t count)
{
    idem__sqlite_fault over = {0};
    size_t together = count_together(ops, count);
    run_together(self, ops, together);
    for (ops += together, count -= together; count > 0; ops += together, count -= together) {
        together = count_together(ops, count);
        if (is_over(self, &over))
            idem__sqlite_batch_fail(ops, together, &over);
        else
            run_together(self, ops, together);
    }
    idem__sqlite_checkpoint_trim(self);
}
