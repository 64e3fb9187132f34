/* SPDX-License-Identifier: MIT */
/* Keeping the write-ahead log small. */
#ifndef IDEM_SQLITE_WAL_TRIM_H
#define IDEM_SQLITE_WAL_TRIM_H

#include "instance.h"

/** Takes over SQLite's automatic checkpoints on a connection of our own, and learns from them
 *  how long the log is. */
void idem__sqlite_checkpoint_watch(idem__sqlite *self);

/** Empties a log that has grown large, if a short wait for its readers is enough. Belongs behind a
 *  transaction. What goes wrong is left to the next one. */
void idem__sqlite_checkpoint_trim(idem__sqlite *self);

#endif
