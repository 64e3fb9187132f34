/* SPDX-License-Identifier: MIT */
/* A batch of ops. */
#ifndef IDEM_POSTGRES_BATCH_H
#define IDEM_POSTGRES_BATCH_H

#include "instance.h"

/** Carries a batch out on a connection that is ready; every op has its answer then. */
void idem__postgres_batch_run(idem__postgres *self, idem_op *const *ops, size_t count,
                              uint64_t deadline_ms);

/** Gives all ops the same fault. */
void idem__postgres_batch_fail(idem__postgres *self, idem_op *const *ops, size_t count,
                               const idem__postgres_fault *fault);

#endif
