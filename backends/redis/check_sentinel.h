/* SPDX-License-Identifier: MIT */
/* What of sentinels and replicas could make a failover fail, or lose more than it has to. */
#ifndef IDEM_REDIS_CHECK_SENTINEL_H
#define IDEM_REDIS_CHECK_SENTINEL_H

#include "sentinel.h"

/**
 * Asks each sentinel that the store knows, and each replica of the primary.
 *
 * @param info      the primary's INFO; empty: it does not tell
 * @param ahead_ms  by how much the primary's clock is ahead of this machine's
 */
void idem__redis_check_sentinel(idem__redis *self, idem_bytes info, int64_t ahead_ms,
                                uint64_t deadline_ms, idem_finding_fn emit, void *emit_user);

/** By how much a server's clock, as TIME tells it, is ahead of this machine's. It was read between
 *  the two moments. 0 where the reply is none. */
int64_t idem__redis_check_ahead(const redisReply *reply, int64_t before_ms, int64_t after_ms);

#endif
