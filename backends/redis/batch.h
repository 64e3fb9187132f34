/* SPDX-License-Identifier: MIT */
/* A batch of ops for a caller that waits. */
#ifndef IDEM_REDIS_BATCH_H
#define IDEM_REDIS_BATCH_H

#include "instance.h"

/** Carries out all ops over a usable connection, on which no others are in flight but abandoned
 *  ones; each has its answer afterwards. A connection that failed is closed.
 *  @return IDEM_OK, or why the connection failed; refusals of single ops are none of that */
int idem__redis_batch_run(idem__redis *self, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms);

/** Gives all ops the same failure: none was sent. */
void idem__redis_batch_fail(idem_op *const *ops, size_t count, const idem__redis_fault *fault);

#endif
