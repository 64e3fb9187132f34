/* SPDX-License-Identifier: MIT */
/* From a host's name to its addresses, by a deadline. */
#ifndef IDEM_REDIS_RESOLVE_H
#define IDEM_REDIS_RESOLVE_H

#include <idem/backend.h>

#include <netdb.h>

typedef struct idem__redis_lookup idem__redis_lookup;

/** What became of a name. */
typedef struct {
    const struct addrinfo *list; /**< without ports; until idem__redis_resolve_free() */
    int code;                    /**< of getaddrinfo(), 0: found */
    int number;                  /**< errno, where `code` is EAI_SYSTEM */
    bool late;                   /**< the deadline came first */
    bool crowded;                /**< and too many other names were being looked up */
    struct addrinfo *own;        /**< numbers, which need no thread */
    idem__redis_lookup *lookup;  /**< shared with other callers */
} idem__redis_addresses;

/** Looks a host up. @return false: see code, number, late. There is nothing to free then */
bool idem__redis_resolve(const char *host, uint64_t deadline_ms, idem__redis_addresses *found);

void idem__redis_resolve_free(idem__redis_addresses *found);

#endif
