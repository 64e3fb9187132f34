/* SPDX-License-Identifier: MIT */
/* A batch of ops, from one flight to the next. */
#ifndef IDEM_POSTGRES_BATCH_H
#define IDEM_POSTGRES_BATCH_H

#include "flight.h"

/** Lines up what carries ops out. */
void idem__postgres_batch_begin(idem__postgres *self, idem_op *const *ops, size_t count);

/** Sends a flight's pipeline, as `self->pipe`. */
int idem__postgres_batch_send(idem__postgres_flight *with, idem__postgres_fault *fault);

/** Takes the results of a flight, as `self->pipe`; they are all here, or no more will come. Its ops
 *  are given back, or go on in another flight. */
void idem__postgres_batch_land(idem__postgres_flight *from);

/** Gives the ops of a flight back that was not sent, and frees it. */
void idem__postgres_batch_fail(idem__postgres_flight *from, const idem__postgres_fault *fault);

/** Carries a batch out on a connection that is ready; every op has its answer then. */
void idem__postgres_batch_run(idem__postgres *self, idem_op *const *ops, size_t count,
                              uint64_t deadline_ms);

/** Gives ops that were not begun the same fault. */
void idem__postgres_batch_refuse(idem__postgres *self, idem_op *const *ops, size_t count,
                                 const idem__postgres_fault *fault);

#endif
