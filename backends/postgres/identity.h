/* SPDX-License-Identifier: MIT */
/* Which server, and which table, a store was opened on. */
#ifndef IDEM_POSTGRES_IDENTITY_H
#define IDEM_POSTGRES_IDENTITY_H

#include "instance.h"

/** A blank one, for all instances of a store. NULL: there is no memory. */
void *idem__postgres_identity_new(void);

/** Ends it, behind the last instance. @param self  of idem__postgres_identity_new() */
void idem__postgres_identity_free(void *self);

/** Has an instance look for the table under the name that the first one has found. @return false:
 *  none has found one yet */
bool idem__postgres_identity_recall(idem__postgres *self);

/** Compares what a connection has found with what the store was opened on; the first one decides.
 *  @param server  the system's identifier
 *  @param table   its oid; empty: it is not there
 *  @return IDEM_ERR_UNAVAILABLE */
int idem__postgres_identity_agree(const idem__postgres *self, const char *server, const char *table,
                                  idem__postgres_fault *fault);

#endif
