/* SPDX-License-Identifier: MIT */
/* Which file a write-ahead log was written for, and where the log of a file is. */
#ifndef IDEM_SQLITE_ORIGIN_H
#define IDEM_SQLITE_ORIGIN_H

#include "instance.h"

/** Looks, before anything of a file is read that was just opened, whether the log beside it is its
 *  own, and whether it has one elsewhere. @return IDEM_ERR_CORRUPT: the log is another file's;
 *  IDEM_ERR_UNAVAILABLE: its own one goes by another name */
int idem__sqlite_origin_check(idem__sqlite *self, idem__sqlite_fault *fault);

/** Notes on file and log that they belong together, once for a connection: when it was opened, if
 *  something was in the log (`note_due`), else before its first change. */
void idem__sqlite_origin_note(idem__sqlite *self);

/** Notes on the log that it belongs to no file that is there. */
void idem__sqlite_origin_disown(const idem__sqlite *self);

/** Takes the note off a file that was closed, if that has left no log. */
void idem__sqlite_origin_forget(const char *path);

#endif
