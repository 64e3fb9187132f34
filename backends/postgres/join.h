/* SPDX-License-Identifier: MIT */
/* A connection of the caller's, as it is before and after a call. */
#ifndef IDEM_POSTGRES_JOIN_H
#define IDEM_POSTGRES_JOIN_H

#include "instance.h"

/** Takes the caller's connection over for a call. @return IDEM_ERR_UNAVAILABLE, IDEM_ERR_ARGUMENT:
 *  it is in no state for that, and was left as it is */
int idem__postgres_join_enter(idem__postgres *self, idem__postgres_fault *fault);

/** How long a call may go on: a little beyond its deadline, since to end it earlier would end
    the caller's *  transaction. A server that answers at all does so by then: what it waits for
    is bounded. */
uint64_t idem__postgres_join_deadline(uint64_t deadline_ms);

/** Gives it back. @return false: it had to be cut, and the caller's transaction is gone with it */
bool idem__postgres_join_leave(idem__postgres *self);

/** Says so. */
int idem__postgres_join_tell_gone(const idem__postgres *self, idem__postgres_fault *fault);

#endif
