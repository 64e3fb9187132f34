/* SPDX-License-Identifier: MIT */
/* An instance's connection: made when it is needed, looked at before it is used. */
#ifndef IDEM_POSTGRES_CONNECTION_H
#define IDEM_POSTGRES_CONNECTION_H

#include "instance.h"

/** Makes the instance ready for a call: the connection is open, and its server knows the table. */
int idem__postgres_ready(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault);

/** Ends a call: a connection that is of no more use is closed. */
void idem__postgres_done(idem__postgres *self, const idem__postgres_fault *fault);

/** Remembers what a batch was refused with; no fault: it was not. */
void idem__postgres_learn_refusal(idem__postgres *self, const idem__postgres_fault *fault);

/** Writes a time for `lock_timeout`. */
void idem__postgres_lock_text(uint64_t ms, char text[24]);

#endif
