/* SPDX-License-Identifier: MIT */
/*
 * SQLite's settings for the whole process. A library may not touch them, they are the host's; but this
 * command is the host. It is started for each key, so that what SQLite takes for a long life costs more than
 * it brings: room for twenty pages, whose first touch is one page fault in fifteen of a replay, and counts of
 * all memory under a lock.
 */
#include "sqlite_config.h"

#include <sqlite3.h>

#include <stddef.h>

void cli_frugal_sqlite(void)
{
    /* Where they are refused everything goes on as it would have without them. */
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
