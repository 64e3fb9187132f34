/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops as one transaction: one lock and one sync for all of them. A batch that only reads
 * never takes the write lock.
 *
 * Answers are filled in as the ops are carried out, and taken back if the transaction does not
 * stand in the end: nothing is reported as applied that was rolled back. If one op may be to
 * blame, each is then carried out in a transaction of its own, so that it fails alone.
 */
#include "batch.h"

#include "clock.h"
#include "row.h"
#include "transaction.h"
#include "walk.h"

static size_t count_writes(idem_op *const *ops, size_t count)
{
    size_t writes = 0;
    for (size_t i = 0; i < count; i++)
        writes += ops[i]->kind != IDEM_OP_GET;
    return writes;
}

bool idem__sqlite_batch_reads(idem_op *const *ops, size_t count)
{
    return count_writes(ops, count) == 0;
}

static void answer_found(sqlite3_stmt *statement, const idem__sqlite_now *now, idem_op *op)
{
    idem_record row;
    idem_error error = {0};
    uint64_t age_ms = 0;
    if (!idem__sqlite_row_is_live(statement, now, &age_ms))
        return;
    int rc = idem__sqlite_row_read(statement, &row, &error);
    row.age_ms = age_ms;
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
        answer_found(statement, now, op);
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
        return idem__sqlite_fault_take(self, code, fault);
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

static int run_once(idem__sqlite *self, idem_op *const *ops, size_t count,
                    idem__sqlite_fault *fault)
{
    size_t writes = count_writes(ops, count);
    bool transaction = writes > 0 || (count > 1 && !self->nested);
    int rc = transaction ? idem__sqlite_begin(self, writes > 0, fault) : IDEM_OK;
    if (rc)
        return rc;
    /* Not before: the lock may have been long in coming. */
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    for (size_t i = 0; rc == IDEM_OK && i < count; i++)
        rc = carry_out(self, ops[i], &now, fault);
    if (rc == IDEM_OK && writes > 0)
        rc = idem__sqlite_walk_sweep(self, writes, &now, fault);
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

void idem__sqlite_batch_run(idem__sqlite *self, idem_op *const *ops, size_t count)
{
    idem__sqlite_fault fault = {0};
    if (run(self, ops, count, &fault) == IDEM_OK)
        return;
    if (count == 1 || !fault.of_one_op || self->broken) {
        idem__sqlite_batch_fail(ops, count, &fault);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        idem__sqlite_fault own = {0};
        if (run(self, ops + i, 1, &own))
            idem__sqlite_batch_fail(ops + i, 1, &own);
    }
}
