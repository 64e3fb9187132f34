/* SPDX-License-Identifier: MIT */
/* The sentinels that a store knows: those of its URL, and those that they have told of. */
#ifndef IDEM_REDIS_SENTINEL_LIST_H
#define IDEM_REDIS_SENTINEL_LIST_H

#include "instance.h"

#include <pthread.h>

/** A host's name has 253 bytes at most. */
#define IDEM__REDIS_HOST_SIZE 256u
/** A master's name. */
#define IDEM__REDIS_MASTER_SIZE 128u
/** Sentinels that a store knows at most. */
#define IDEM__REDIS_SENTINELS_MAX 32u

typedef struct {
    char host[IDEM__REDIS_HOST_SIZE];
    uint32_t port;
} idem__redis_place;

typedef struct {
    size_t count;
    idem__redis_place places[IDEM__REDIS_SENTINELS_MAX];
} idem__redis_places;

/** What all instances of a store share. `prepare` makes it. */
typedef struct {
    char master[IDEM__REDIS_MASTER_SIZE];
    uint32_t db;
    pthread_mutex_t lock; /**< of what follows */
    size_t named;         /**< those of the URL come first, and stay */
    size_t first;         /**< the one to ask first: it gave the last good answer */
    idem__redis_places known;
} idem__redis_sentinels;

/** Reads the URL's list of hosts, the master's name and the database.
 *  @return IDEM_ERR_ARGUMENT; IDEM_ERR_NO_MEMORY */
int idem__redis_sentinels_make(const idem_config *config, idem__redis_sentinels **made,
                               idem__redis_fault *fault);

void idem__redis_sentinels_free(idem__redis_sentinels *list);

/** A copy of all, in the order in which to ask them. */
void idem__redis_sentinels_copy(idem__redis_sentinels *list, idem__redis_places *copy);

/** Records a good answer: the sentinel that gave it is asked first the next time, and the `others`
 *  that it named replace those that were named before. */
void idem__redis_sentinels_praise(idem__redis_sentinels *list, const idem__redis_place *asked,
                                  const idem__redis_places *others);

/** The answer was wrong: the next time, another one is asked first. */
void idem__redis_sentinels_doubt(idem__redis_sentinels *list, const idem__redis_place *asked);

/** Adds a place, unless it is there, or is none, or there is no room. */
void idem__redis_places_add(idem__redis_places *places, idem_bytes host, uint64_t port);

#endif
