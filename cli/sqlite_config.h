/* SPDX-License-Identifier: MIT */
/* Starting with as little as possible. */
#ifndef CLI_FRUGAL_H
#define CLI_FRUGAL_H

/** Tells SQLite, if it is in this build, that this process is short-lived. Call it before
 *  opening. */
#ifdef CLI_HAS_SQLITE
void cli_frugal_sqlite(void);
#else
static inline void cli_frugal_sqlite(void)
{
}
#endif

#endif
