/* SPDX-License-Identifier: MIT */
/* The instance that the files of this backend share: one connection and where it leads. */
#ifndef IDEM_REDIS_INSTANCE_H
#define IDEM_REDIS_INSTANCE_H

#include "wire.h"

/** The rows of the tables of URL parameters; `redis://` has the first alone. */
enum { IDEM__REDIS_CONNECT_TIMEOUT, IDEM__REDIS_DB, IDEM__REDIS_PARAMS };

/** Room for "Redis at ", a quoted host or path, and a port. */
#define IDEM__REDIS_NAME_SIZE (IDEM_QUOTE_SIZE + 32)

typedef struct {
    idem_backend base;
    const idem_config *config;
    const char *host; /**< NULL: the socket at `path` */
    const char *path;
    uint32_t port;
    uint32_t db;
    char name[IDEM__REDIS_NAME_SIZE]; /**< the server in messages */
    bool no_nx_get;   /**< this connection's server refuses SET with NX and GET: before Redis 7.0 */
    idem_buffer text; /**< of one record, while its command is made */
    idem__redis_wire wire;
} idem__redis;

#endif
