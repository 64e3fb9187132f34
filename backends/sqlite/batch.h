/* SPDX-License-Identifier: MIT */
/* A batch of ops as one transaction. */
#ifndef IDEM_SQLITE_BATCH_H
#define IDEM_SQLITE_BATCH_H

#include "instance.h"

/** True if no op of the batch is a change. */
bool idem__sqlite_batch_reads(idem_op *const *ops, size_t count);

/** Carries out all ops, on an open connection; each has its answer afterwards. */
void idem__sqlite_batch_run(idem__sqlite *self, idem_op *const *ops, size_t count);

/** Gives all ops the same failure. */
void idem__sqlite_batch_fail(idem_op *const *ops, size_t count, const idem__sqlite_fault *fault);

#endif
