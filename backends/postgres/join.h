/* SPDX-License-Identifier: MIT */
/* A connection of the caller's, as it is before and after a call. */
#ifndef IDEM_POSTGRES_JOIN_H
#define IDEM_POSTGRES_JOIN_H

#include "instance.h"

/** Takes the caller's connection over for a call. @return IDEM_ERR_UNAVAILABLE, IDEM_ERR_ARGUMENT:
 *  it is in no state for that, and was left as it is */
int idem__postgres_join_enter(idem__postgres *self, idem__postgres_fault *fault);

/** Gives it back. */
void idem__postgres_join_leave(idem__postgres *self);

#endif
