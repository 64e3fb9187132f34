/* SPDX-License-Identifier: MIT */
/* From a target to a connection, by a deadline. */
#ifndef IDEM_POSTGRES_DIAL_H
#define IDEM_POSTGRES_DIAL_H

#include "instance.h"

/** Connects, trying one address after the other. self->conn is open on success, else NULL. */
int idem__postgres_dial(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault);

/** Closes the connection. */
void idem__postgres_hang_up(idem__postgres *self);

/** The same in the child of a fork(), for a connection that is the parent's. */
void idem__postgres_hang_up_child(idem__postgres *self);

#endif
