/* SPDX-License-Identifier: MIT */
/* The instance that the files of this backend share: one connection and where it leads. */
#ifndef IDEM_REDIS_INSTANCE_H
#define IDEM_REDIS_INSTANCE_H

#include "pipeline.h"
#include "wire.h"

/** The rows that all tables of URL parameters begin with; `redis://` has no others. */
enum {
    IDEM__REDIS_CONNECT_TIMEOUT,
    IDEM__REDIS_PASSWORD_FILE,
    IDEM__REDIS_REPLICAS,
    IDEM__REDIS_PARAMS
};

/** Those of `redis+unix://` behind them. */
enum { IDEM__REDIS_DB = IDEM__REDIS_PARAMS, IDEM__REDIS_UNIX_PARAMS };

/** Those of `rediss://` and of what begins with it. */
enum {
    IDEM__REDIS_TLS_CA = IDEM__REDIS_PARAMS,
    IDEM__REDIS_TLS_CERT,
    IDEM__REDIS_TLS_KEY,
    IDEM__REDIS_TLS_NAME,
    IDEM__REDIS_TLS_PARAMS
};

/** What an instance talks over, and what it asks for the server's address. */
typedef enum {
    IDEM__REDIS_TCP,
    IDEM__REDIS_UNIX,
    IDEM__REDIS_TLS,
    IDEM__REDIS_SENTINEL,
    IDEM__REDIS_SENTINEL_TLS
} idem__redis_way;

/** Room for "Redis at ", a quoted host or path, and a port. */
#define IDEM__REDIS_NAME_SIZE (IDEM_QUOTE_SIZE + 32)

/** The way of a scan, which must not lead back to where it was. */
typedef struct {
    uint64_t last;  /**< where the last page ended */
    uint64_t mark;  /**< a cursor that must not come again */
    uint64_t steps; /**< since the mark was set, and when the next is */
    uint64_t limit;
} idem__redis_trail;

typedef struct idem__redis_sentinel idem__redis_sentinel;

struct idem__redis {
    idem_backend base;
    const idem_config *config;
    idem__redis_sentinel *sentinel; /**< which names host and port; NULL: the URL does */
    const char *host;               /**< NULL: the socket at `path` */
    const char *path;
    uint32_t port;
    uint32_t db;
    char name[IDEM__REDIS_NAME_SIZE]; /**< the server in messages */
    /* What this connection has shown. */
    bool no_nx_get;  /**< the server refuses SET with NX and GET: before Redis 7.0 */
    bool proved;     /**< the user has all rights that complete and release need */
    bool no_names;   /**< the user has no right to EVALSHA: scripts are sent by their text */
    bool no_scripts; /**< the user has no right to read by a script */
    bool refused;    /**< the server takes another password than the one that was read */
    bool clustered;  /**< it is a node of a cluster, as it has to be: redirections are answers */
    bool asking;     /**< what is sent now was sent on by ASK */
    bool (*has_slot)(const void *of, idem_bytes key); /**< of a node in a check; NULL: it has all */
    const void *has_slot_of;
    /* What is kept from one connection to the next. */
    size_t answer_len; /**< what an answer is reckoned to take, from those before; 0: none yet */
    idem__redis_trail trail;
    idem_buffer text; /**< of one record, while its command is made */
    idem__redis_pipeline pipeline;
    idem__redis_wire wire; /**< its `tls` is the instance's */
};

#endif
