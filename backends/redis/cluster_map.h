/* SPDX-License-Identifier: MIT */
/* Which node of a cluster has which slots, as a node tells it. */
#ifndef IDEM_REDIS_CLUSTER_MAP_H
#define IDEM_REDIS_CLUSTER_MAP_H

#include "fault.h"
#include "key_slot.h"

#include <hiredis/hiredis.h>

/** Room for a host's name with its NUL: the longest of DNS, or an address with a zone. */
#define IDEM__REDIS_HOST_SIZE 256u
/** The most nodes of a cluster that are taken in, replicas included. */
#define IDEM__REDIS_NODES_MAX 4096u
/** The owner of a slot that no node has. */
#define IDEM__REDIS_NO_OWNER UINT16_MAX

typedef struct {
    char host[IDEM__REDIS_HOST_SIZE];
    uint32_t port;
} idem__redis_address;

typedef struct {
    idem__redis_address address;
    uint16_t master; /**< a replica's master: its index. A master's own index otherwise */
    bool replica;
} idem__redis_member;

typedef struct {
    size_t count;
    idem__redis_member *members;
    uint16_t owner[IDEM__REDIS_SLOTS]; /**< index of a member, or IDEM__REDIS_NO_OWNER */
    unsigned owned;                    /**< slots that have an owner */
} idem__redis_map;

bool idem__redis_address_same(const idem__redis_address *a, const idem__redis_address *b);

/** Reads a list `host:port,[address]:port,…`, or one host without a port.
 *  @param port        of one host; 0: none was given
 *  @param[out] count  how many
 *  @return free() it; NULL: `fault` says why */
idem__redis_address *idem__redis_addresses_read(const char *hosts, uint32_t port, size_t *count,
                                                idem__redis_fault *fault);

/**
 * Reads the answer to CLUSTER SLOTS.
 *
 * @param asked  the node that answered: a host that is empty or nil stands for its own
 * @param name   the node in messages
 * @return free it with idem__redis_map_free(); NULL: `fault` says why
 */
idem__redis_map *idem__redis_map_read(const redisReply *reply, const idem__redis_address *asked,
                                      const char *name, idem__redis_fault *fault);

void idem__redis_map_free(idem__redis_map *map);

/** Where a node sends a client. */
typedef struct {
    bool ask; /**< for this one command only */
    unsigned slot;
    idem__redis_address to;
} idem__redis_redirect;

/** True if an answer is MOVED or ASK. */
bool idem__redis_redirect_is(idem_bytes text);

/** True if that is what an op was answered by a node of a cluster. */
bool idem__redis_redirect_told(const idem_op *op);

/** Reads it. @return false: it names no node that can be connected to */
bool idem__redis_redirect_read(const char *text, const idem__redis_address *asked,
                               idem__redis_redirect *redirect);

#endif
