/* SPDX-License-Identifier: MIT */
/* One database under one name, by one clock: finds processes that use it otherwise. */
#ifndef IDEM_SQLITE_GUARD_H
#define IDEM_SQLITE_GUARD_H

#include "instance.h"

/** The descriptor that SQLite has of the database's file. It stays SQLite's: never close it.
 *  @return -1: it can't be told */
int idem__sqlite_guard_descriptor(sqlite3 *db);

/** When a file was made: it tells a new file from a deleted one whose inode's number it was given.
 *  @param path  "": the open file `fd`; else `fd` is not used
 *  @return nanoseconds; 0: its file system does not tell */
uint64_t idem__sqlite_guard_birth(const char *path, int fd);

/** A number that stands for the name of a file: the folder's inode and the name in it. It is the
 *  same wherever the folder is mounted. @return false: it can't be told */
bool idem__sqlite_guard_name(const char *path, int64_t *name);

/** Takes hold of the file under the name and by the boot id of this connection, for as long as
 *  that is open. @return IDEM_ERR_UNAVAILABLE: somebody uses it under another name, or by another
 *  clock */
int idem__sqlite_guard_take(idem__sqlite *self, idem__sqlite_fault *fault);

/** Lets go of it before the connection is closed. */
void idem__sqlite_guard_release(idem__sqlite *self);

/** Reports names of the file that nobody must use, in use or not: links, and a mount of its own. */
void idem__sqlite_guard_report(const idem__sqlite *self, const char *path, idem_finding_fn emit,
                               void *emit_user);

#endif
