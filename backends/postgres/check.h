/* SPDX-License-Identifier: MIT */
/* Settings of a server that could lose records or run work twice. */
#ifndef IDEM_POSTGRES_CHECK_H
#define IDEM_POSTGRES_CHECK_H

#include "instance.h"

int idem__postgres_check(idem__postgres *self, idem_finding_fn emit, void *emit_user,
                         uint64_t deadline_ms, idem__postgres_fault *fault);

#endif
