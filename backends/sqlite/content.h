/* SPDX-License-Identifier: MIT */
/* Whether only SQLite has written the file. */
#ifndef IDEM_SQLITE_CONTENT_H
#define IDEM_SQLITE_CONTENT_H

#include "instance.h"

#include <sys/stat.h>

/** Reads the log's index, before the file is looked at.
 *  @return false: there is none, and nothing can be told */
bool idem__sqlite_content_read(const idem__sqlite *self, idem__sqlite_content *seen);

/** Compares with the last look. @param first  what was read; @param file  as stat() found it then
 *  @return true: the file was written over in place in between, as cp does it */
bool idem__sqlite_content_is_foreign(idem__sqlite *self, const idem__sqlite_content *first,
                                     const struct stat *file);

#endif
