/* SPDX-License-Identifier: MIT */
/* Points in time as text: RFC 3339, UTC, milliseconds. */
#ifndef IDEM_CORE_TIMESTAMP_H
#define IDEM_CORE_TIMESTAMP_H

#include <idem/idem.h>

/** The length of `2026-11-23T16:00:00.000Z`. */
#define IDEM__TIMESTAMP_LEN 24u

/** Writes a time. A year beyond four digits becomes the first or the last time that they can name.
 *  @return behind it; there is no NUL */
char *idem__timestamp_write(int64_t unix_ms, char *at);

/** Reads such a text, with any number of decimals or none.
 *  @return false: it is none, or no day or time that there is; a leap second is one */
bool idem__timestamp_read(idem_bytes text, int64_t *unix_ms);

#endif
