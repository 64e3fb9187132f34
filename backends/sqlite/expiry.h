/* SPDX-License-Identifier: MIT */
/* Walks over the rows: what has expired is dropped, what is live is listed. */
#ifndef IDEM_SQLITE_EXPIRY_H
#define IDEM_SQLITE_EXPIRY_H

#include "clock.h"

/** True if so many inserts more, and so many bytes, need no sweep, and counts them then. */
bool idem__sqlite_expiry_is_ahead(idem__sqlite *self, size_t inserts, size_t bytes);

/** Drops what has expired among the next few rows, more of them the more a transaction inserts, and
 *  larger ones the more bytes it writes; it takes a small part of the call's time.
 *  Belongs into the write transaction that is open; if it fails, it is not tried again. */
int idem__sqlite_expiry_sweep(idem__sqlite *self, size_t inserts, size_t bytes,
                              const idem__sqlite_now *now, idem__sqlite_fault *fault);

/** Drops one portion of what has expired, in short transactions of its own, with pauses between
 *  them in which other processes can have the lock. */
int idem__sqlite_expiry_purge(idem__sqlite *self, idem_purge_portion *portion,
                              idem__sqlite_fault *fault);

/** Gives one page of records. */
int idem__sqlite_expiry_scan(idem__sqlite *self, idem_scan_page *page, idem__sqlite_fault *fault);

#endif
