/* SPDX-License-Identifier: MIT */
/* Settings of a server that could lose records or run work twice. */
#ifndef IDEM_REDIS_CHECK_H
#define IDEM_REDIS_CHECK_H

#include "instance.h"

/** Reports what it finds, over a usable connection; one that failed is closed. Changes nothing. */
int idem__redis_check(idem__redis *self, idem_finding_fn emit, void *emit_user,
                      uint64_t deadline_ms, idem__redis_fault *fault);

#endif
