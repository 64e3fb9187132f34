/* SPDX-License-Identifier: MIT */
/* Which users may read and write a file, by its owner, its mode and the folders above it. */
#ifndef IDEM_SQLITE_CHECK_ACCESS_H
#define IDEM_SQLITE_CHECK_ACCESS_H

#include <idem/backend.h>

#include <sys/types.h>

/** Reports which other users may write or read the file, or put another one in its place.
 *  @param name  the file in messages
 *  @param path  the file's absolute path
 *  @param asked  the mode that the URL asks for: what is meant for the group is no finding, but
 *                what keeps the group from using it is */
void idem__sqlite_check_access(const char *name, const char *path, mode_t asked,
                               idem_finding_fn emit, void *emit_user);

#endif
