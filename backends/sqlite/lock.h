/* SPDX-License-Identifier: MIT */
/* Waiting for other writers. */
#ifndef IDEM_SQLITE_LOCK_H
#define IDEM_SQLITE_LOCK_H

#include "instance.h"

/** Begins a call, in the caller's transaction if there is one: from here on locks are waited for
 *  until its deadline, or for busy_timeout. */
void idem__sqlite_lock_enter(idem__sqlite *self, uint64_t deadline_ms);

/** Opens a connection in which SQLite's own pauses end with the call's deadline too. @return as
 *  sqlite3_open_v2() */
int idem__sqlite_lock_open(const char *path, sqlite3 **db, int flags);

/** Keeps all of these from being opened meanwhile. */
void idem__sqlite_lock_opening(void);
void idem__sqlite_unlock_opening(void);

/** True if the files of this VFS are SQLite's own for Unix. */
bool idem__sqlite_lock_is_unix(const sqlite3_vfs *vfs);

/** Pauses before one more try. @param user  the ::idem__sqlite; SQLite calls this as its busy
 *  handler. @return 0: the time is over */
int idem__sqlite_lock_wait(void *user, int tries);

/** True if what a call returned is a lock that another connection may yet give up. */
bool idem__sqlite_lock_may_pass(idem__sqlite *self, int code);

#endif
