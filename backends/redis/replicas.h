/* SPDX-License-Identifier: MIT */
/* Waiting for replicas: `replicas=N`. */
#ifndef IDEM_REDIS_REPLICAS_H
#define IDEM_REDIS_REPLICAS_H

#include "instance.h"

/** True if a change counts only once so many replicas have it. */
bool idem__redis_replicas_wanted(const idem__redis *self);

/** Appends the question whether the user may wait for replicas at all, for the greeting; and judges
 *  its answer. @return IDEM_ERR_UNAVAILABLE, permanent: the user may not */
int idem__redis_replicas_ask(idem__redis *self, idem__redis_fault *fault);
int idem__redis_replicas_agree(const idem__redis *self, const redisReply *reply,
                               idem__redis_fault *fault);

/** Ends a pipeline that changes something: waits for the replicas to have all before it.
 *  @return as idem__redis_wire_append() */
int idem__redis_replicas_append(idem__redis *self, idem__redis_fault *fault);

/** True if an op has found its caller's own record, of an earlier try, and so must not be answered
 *  by it before the replicas are asked. */
bool idem__redis_replicas_found_own(const idem__redis *self, const idem_op *op);

/** Judges the answer: where too few replicas have it, what these requests changed, or have found of
 *  their own, is uncertain. NULL: there is no answer. */
void idem__redis_replicas_judge(const idem__redis *self, const redisReply *reply,
                                const idem__redis_queue *answered);

#endif
