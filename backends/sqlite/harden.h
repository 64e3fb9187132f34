/* SPDX-License-Identifier: MIT */
/* What keeps a file that strangers can write from taking over the process that opens it. */
#ifndef IDEM_SQLITE_HARDEN_H
#define IDEM_SQLITE_HARDEN_H

#include "instance.h"

/** Sets a connection of our own up. No trigger and no view of the file is run, and its schema is
 *  not trusted. A statement that does not end is interrupted at the call's deadline.
 *  @return as SQLite */
int idem__sqlite_harden_connection(idem__sqlite *self);

/** Compares the tables with those that this library makes: their text, and what hangs on them.
 *  Other text may run whatever an expression can, in each of our statements.
 *  @return IDEM_ERR_CORRUPT: the message names what is not ours */
int idem__sqlite_harden_tables(idem__sqlite *self, idem__sqlite_fault *fault);

#endif
