/* SPDX-License-Identifier: MIT */
/* From an address to a connected socket. */
#ifndef IDEM_REDIS_DIAL_H
#define IDEM_REDIS_DIAL_H

#include "instance.h"

/**
 * Connects a socket that does not block.
 *
 * @param deadline_ms    of the call
 * @param[out] limit_ms  when the connection has to be ready for use
 * @param[out] fd        the socket
 * @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_ARGUMENT: the path is too long for a socket
 * @par Blocking  until the deadline
 */
int idem__redis_dial(const idem__redis *self, uint64_t deadline_ms, uint64_t *limit_ms, int *fd,
                     idem__redis_fault *fault);

#endif
