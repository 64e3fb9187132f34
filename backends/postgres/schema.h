/* SPDX-License-Identifier: MIT */
/* The table: found, checked, and made where it is not there. */
#ifndef IDEM_POSTGRES_SCHEMA_H
#define IDEM_POSTGRES_SCHEMA_H

#include "instance.h"

/** Finds out what the server is and whether the table can be used; makes the table where that is
 *  allowed. For a connection that is new, or the caller's.
 *  @return IDEM_ERR_UNSUPPORTED: a newer version; IDEM_ERR_ARGUMENT: it is another table; … */
int idem__postgres_schema_ensure(idem__postgres *self, uint64_t deadline_ms,
                                 idem__postgres_fault *fault);

#endif
