/* SPDX-License-Identifier: MIT */
/* What of a cluster's replicas could make a failover change what was promised. */
#ifndef IDEM_REDIS_CHECK_CLUSTER_H
#define IDEM_REDIS_CHECK_CLUSTER_H

#include "cluster.h"

/** Asks each replica of the map, and its master, for the time. */
void idem__redis_check_cluster(const idem__redis_cluster *self, uint64_t deadline_ms,
                               idem_finding_fn emit, void *emit_user);

#endif
