/* SPDX-License-Identifier: MIT */
/*
 * Transactions. On a connection of the caller's on which a transaction is open, ours is a
 * savepoint in it: whatever happens, the caller's transaction is neither committed nor rolled
 * back by us. SQLite itself may roll it back when the disk is full or fails, or when the call is
 * interrupted. From then on no statement of that call runs: idem__sqlite_step() refuses it, since
 * outside of the transaction it would stand by itself. The fault says so, and is not repeated.
 */
#include "transaction.h"

#include "origin.h"

bool idem__sqlite_is_cut_off(const idem__sqlite *self)
{
    return self->nested && sqlite3_get_autocommit(self->db);
}

/* What ends a transaction is prepared before it begins: then no memory is needed to end it. */
static int prepare_end(idem__sqlite *self, idem__sqlite_fault *fault)
{
    idem__sqlite_sql done = self->nested ? IDEM__SQLITE_RELEASE : IDEM__SQLITE_COMMIT;
    idem__sqlite_sql undone = self->nested ? IDEM__SQLITE_ROLLBACK_TO : IDEM__SQLITE_ROLLBACK;
    if (idem__sqlite_statement(self, done, fault) && idem__sqlite_statement(self, undone, fault))
        return IDEM_OK;
    return fault->error.code;
}

int idem__sqlite_begin(idem__sqlite *self, bool write, idem__sqlite_fault *fault)
{
    idem__sqlite_sql which = write ? IDEM__SQLITE_BEGIN_WRITE : IDEM__SQLITE_BEGIN_READ;
    int rc = prepare_end(self, fault);
    if (rc)
        return rc;
    if (write && !self->noted)
        idem__sqlite_origin_note(self);
    int code = idem__sqlite_run(self, self->nested ? IDEM__SQLITE_SAVEPOINT : which);
    return code == SQLITE_OK ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}

int idem__sqlite_commit(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int code = idem__sqlite_run(self, self->nested ? IDEM__SQLITE_RELEASE : IDEM__SQLITE_COMMIT);
    if (code == SQLITE_OK)
        return IDEM_OK;
    (void)idem__sqlite_fault_take_commit(self, code, fault);
    return idem__sqlite_rollback(self, fault);
}

/* To roll back to a savepoint takes memory. Without it the change stays in the caller's
   transaction, and that has to be said. */
static void roll_back_nested(idem__sqlite *self, idem__sqlite_fault *fault)
{
    idem_error why = fault->error;
    bool undone = idem__sqlite_run(self, IDEM__SQLITE_ROLLBACK_TO) == SQLITE_OK;
    (void)idem__sqlite_run(self, IDEM__SQLITE_RELEASE);
    if (undone || sqlite3_get_autocommit(self->db))
        return;
    memset(fault, 0, sizeof *fault);
    (void)idem__sqlite_fault_set(fault, false, IDEM_ERR_UNCERTAIN,
                                 "%.160s; it may be in your transaction all the same", why.message);
}

int idem__sqlite_rollback(idem__sqlite *self, idem__sqlite_fault *fault)
{
    if (sqlite3_get_autocommit(self->db))
        return fault->error.code; /* SQLite has done it */
    if (self->nested) {
        roll_back_nested(self, fault);
        return fault->error.code;
    }
    (void)idem__sqlite_run(self, IDEM__SQLITE_ROLLBACK);
    /* A connection that can't even roll back is closed when the next call begins. */
    self->broken = !sqlite3_get_autocommit(self->db) && !self->joined && !self->in_memory;
    return fault->error.code;
}
