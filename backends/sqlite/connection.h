/* SPDX-License-Identifier: MIT */
/* The connection to a file of our own: opened, found moved, closed, opened again. */
#ifndef IDEM_SQLITE_CONNECTION_H
#define IDEM_SQLITE_CONNECTION_H

#include "instance.h"

/** Opens the store's file, creating it if need be and nothing was ever opened. */
int idem__sqlite_connect(idem__sqlite *self, idem__sqlite_fault *fault);

/** Makes the connection usable for the call that begins: opens it again if it was closed for a
 *  fork, and makes sure that its file is in its place. A caller's connection is the caller's to
 *  look after.
 *  @param reads  the call changes nothing: whether the file is still in its place is then looked at
 *                once in a millisecond, not for each call */
int idem__sqlite_ready(idem__sqlite *self, bool reads, uint64_t deadline_ms,
                       idem__sqlite_fault *fault);

/** Closes the connection, leaving the write-ahead log to the next one. */
void idem__sqlite_disconnect(idem__sqlite *self);

#endif
