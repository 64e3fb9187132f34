/* SPDX-License-Identifier: MIT */
/*
 * Transactions. On a connection of the caller's on which a transaction is open, ours is a
 * savepoint in it: whatever happens, the caller's transaction is neither committed nor rolled
 * back by us. SQLite itself may roll it back when the disk is full or fails; the fault says so.
 */
#include "transaction.h"

int idem__sqlite_begin(idem__sqlite *self, bool write, idem__sqlite_fault *fault)
{
    idem__sqlite_sql which = write ? IDEM__SQLITE_BEGIN_WRITE : IDEM__SQLITE_BEGIN_READ;
    if (self->nested && sqlite3_get_autocommit(self->db))
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                      "%s: your transaction has been rolled back", self->name);
    int code = idem__sqlite_run(self, self->nested ? IDEM__SQLITE_SAVEPOINT : which);
    return code == SQLITE_OK ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}

int idem__sqlite_commit(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int code = idem__sqlite_run(self, self->nested ? IDEM__SQLITE_RELEASE : IDEM__SQLITE_COMMIT);
    if (code == SQLITE_OK)
        return IDEM_OK;
    int rc = idem__sqlite_fault_take_commit(self, code, fault);
    idem__sqlite_rollback(self);
    return rc;
}

void idem__sqlite_rollback(idem__sqlite *self)
{
    if (sqlite3_get_autocommit(self->db))
        return; /* SQLite has done it */
    if (self->nested) {
        (void)idem__sqlite_run(self, IDEM__SQLITE_ROLLBACK_TO);
        (void)idem__sqlite_run(self, IDEM__SQLITE_RELEASE);
        return;
    }
    (void)idem__sqlite_run(self, IDEM__SQLITE_ROLLBACK);
    /* A connection that can't even roll back is closed when the next call begins. */
    self->broken = !sqlite3_get_autocommit(self->db) && !self->joined && !self->in_memory;
}
