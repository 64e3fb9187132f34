/* SPDX-License-Identifier: MIT */
/* What the system has against a file: the cause that SQLite's own codes leave open. */
#ifndef IDEM_SQLITE_CAUSE_H
#define IDEM_SQLITE_CAUSE_H

#include "instance.h"

/** The errno that is behind a result code, as far as it can be told; 0: none. */
int idem__sqlite_cause_number(idem__sqlite *self, int code);

/** What that errno says of a file that a store is kept in, and what to do; NULL: nothing
 *  special. */
const char *idem__sqlite_cause_text(int number);

#endif
