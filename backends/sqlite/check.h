/* SPDX-License-Identifier: MIT */
/* What in a file's settings and surroundings could lose records or run work twice. */
#ifndef IDEM_SQLITE_CHECK_H
#define IDEM_SQLITE_CHECK_H

#include "instance.h"

/** Reports what it finds. A record under a key of its own is written and removed again; nothing
 *  else is changed. */
int idem__sqlite_check(idem__sqlite *self, idem_finding_fn emit, void *emit_user,
                       idem__sqlite_fault *fault);

/** The name of a file system of this statfs() type that can't be relied on, or NULL. */
const char *idem__sqlite_check_file_system(unsigned long type, bool *volatile_memory);

#endif
