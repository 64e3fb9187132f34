/* SPDX-License-Identifier: MIT */
/* Transactions: ours, or savepoints in the caller's. */
#ifndef IDEM_SQLITE_TRANSACTION_H
#define IDEM_SQLITE_TRANSACTION_H

#include "instance.h"

/** True if the call began in a transaction of the caller's, and SQLite has rolled that back. */
bool idem__sqlite_is_cut_off(const idem__sqlite *self);

/** Begins; with `write` the lock is ours, unless it is the caller's transaction. */
int idem__sqlite_begin(idem__sqlite *self, bool write, idem__sqlite_fault *fault);

/** Commits; undoes everything if that fails. @return IDEM_ERR_UNCERTAIN: in doubt */
int idem__sqlite_commit(idem__sqlite *self, idem__sqlite_fault *fault);

/** Undoes what was done since begin, for a fault. @return its code: IDEM_ERR_UNCERTAIN if what was
 *  done could not be undone */
int idem__sqlite_rollback(idem__sqlite *self, idem__sqlite_fault *fault);

#endif
