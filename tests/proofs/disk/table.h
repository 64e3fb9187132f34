/* SPDX-License-Identifier: MIT */
/* The table of records as text, read over the system's own VFS. */
#ifndef IDEM_TESTS_DISK_TABLE_H
#define IDEM_TESTS_DISK_TABLE_H

#include <stdbool.h>

/** All rows with all their columns, to be freed; an empty text if there is no table. Does not move
 *  the log, and fails the process if the file is not sound. */
char *table_read(const char *folder);

/** The same from a copy of the files, without the log's index: what another process finds if this
 *  one dies now. */
char *table_read_as_if_died(const char *folder, const char *copy);

#endif
