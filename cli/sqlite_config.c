/* SPDX-License-Identifier: MIT */
/*
 * SQLite's settings for the whole process. A library may not change them, but this command is the
 * host. It is started for each key, so settings for long-lived processes cost more than they gain:
 * room for twenty pages (their first use is one page fault in fifteen of a replay), and statistics
 * of all memory under a lock.
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
