/* SPDX-License-Identifier: MIT */
/* The connection: where the URL leads, opened, greeted, found broken, opened again. */
#ifndef IDEM_REDIS_CONNECTION_H
#define IDEM_REDIS_CONNECTION_H

#include "instance.h"

/** Reads the URL's parts. @return IDEM_ERR_ARGUMENT */
int idem__redis_locate(idem__redis *self, idem__redis_way way, idem__redis_fault *fault);

/** Names an instance in messages. @param kind  what it is */
void idem__redis_name(idem__redis *self, const char *kind, const char *host, uint32_t port);

/** Connects to where the instance leads, TLS included, and says nothing yet.
 *  @param[out] limit_ms  when the connection has to be ready for use
 *  @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_NO_MEMORY; IDEM_ERR_ARGUMENT */
int idem__redis_link(idem__redis *self, uint64_t deadline_ms, uint64_t *limit_ms,
                     idem__redis_fault *fault);

/** Logs on, and makes sure that Redis is there. @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_ARGUMENT: no
 *  such database; IDEM_ERR_NO_MEMORY */
int idem__redis_greet(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault);

/** A connection without TLS has failed before anything was answered: looks whether that is because
 *  TLS is spoken there, and tells it then in place of the fault. */
void idem__redis_suspect_tls(const idem__redis *self, uint64_t deadline_ms,
                             idem__redis_fault *fault);

/** Makes the connection usable for the call that begins: opens it if it is not open, or if the
 *  server has closed it, or has sent an unasked answer. Abandoned requests are forgotten, and
 *  their connection is closed. */
int idem__redis_ready(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault);

/** The same for requests that a seal follows. It looks at the connection only if that has been at
 *  rest for a while. Answers to abandoned requests may be due on it. */
int idem__redis_keep_connected(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault);

#endif
