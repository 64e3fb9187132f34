/* SPDX-License-Identifier: MIT */
/* From an address to a connected socket. */
#ifndef IDEM_REDIS_DIAL_H
#define IDEM_REDIS_DIAL_H

#include "instance.h"

/**
 * Connects a socket that does not block.
 *
 * @param[out] fd  the socket
 * @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_ARGUMENT: the path is too long for a socket
 * @par Blocking  until the deadline; to look a host name up takes as long as the system's resolver
 *                takes, which knows no deadline
 */
int idem__redis_dial(const idem__redis *self, uint64_t deadline_ms, int *fd,
                     idem__redis_fault *fault);

#endif
