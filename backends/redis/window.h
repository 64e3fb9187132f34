/* SPDX-License-Identifier: MIT */
/* How much may be in flight on a connection. */
#ifndef IDEM_REDIS_WINDOW_H
#define IDEM_REDIS_WINDOW_H

#include "instance.h"

/** True if one more request may be sent. */
bool idem__redis_window_open(const idem__redis *self);

/** Learns from a reply how long answers are. */
void idem__redis_window_learn(idem__redis *self, const redisReply *reply);

/** Learns from the failure of a connection: the answers may have been too many at once. */
void idem__redis_window_learn_failure(idem__redis *self);

#endif
