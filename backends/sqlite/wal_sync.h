/* SPDX-License-Identifier: MIT */
/* Making sure that the write-ahead log lasts. */
#ifndef IDEM_SQLITE_WAL_SYNC_H
#define IDEM_SQLITE_WAL_SYNC_H

#include "instance.h"

/** Brings to the disk what a new connection has found in the log, before anything is built on it.
 *  With synchronous=full only. @return IDEM_ERR_UNAVAILABLE, IDEM_ERR_FULL: the disk fails */
int idem__sqlite_wal_sync(idem__sqlite *self, idem__sqlite_fault *fault);

#endif
