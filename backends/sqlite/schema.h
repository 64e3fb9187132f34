/* SPDX-License-Identifier: MIT */
/* The tables and their versions. */
#ifndef IDEM_SQLITE_SCHEMA_H
#define IDEM_SQLITE_SCHEMA_H

#include "instance.h"

/** "idem" in ASCII: what `file` and PRAGMA application_id say of a file of our own. */
#define IDEM__SQLITE_APPLICATION_ID 0x6964656d

/** Our tables of today's version, and the text that SQLite keeps of each. */
typedef struct {
    const char *name;
    const char *sql;
} idem__sqlite_table;
extern const idem__sqlite_table idem__sqlite_schema_tables[2];

/** Reads only.
 *  @param[out] current  there is nothing to be made or brought up to date
 *  @return IDEM_ERR_ARGUMENT: the file has tables, but not ours; IDEM_ERR_UNSUPPORTED: ours are of
 *          a newer version; IDEM_ERR_CORRUPT: no database */
int idem__sqlite_schema_inspect(idem__sqlite *self, bool *current, idem__sqlite_fault *fault);

/** Finds tables of another shape now, not at the first claim. @return IDEM_ERR_CORRUPT */
int idem__sqlite_schema_try(idem__sqlite *self, idem__sqlite_fault *fault);

/** Creates the tables, or brings them up to today's version; then tries them. */
int idem__sqlite_schema_ensure(idem__sqlite *self, idem__sqlite_fault *fault);

/** The same along other steps: list[i] leads from version i to i + 1. All in one transaction. */
int idem__sqlite_schema_upgrade(idem__sqlite *self, const char *const *list, int64_t count,
                                idem__sqlite_fault *fault);

#endif
