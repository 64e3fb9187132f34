/* SPDX-License-Identifier: MIT */
/* Which server is the master now, as sentinels tell. */
#ifndef IDEM_REDIS_SENTINEL_H
#define IDEM_REDIS_SENTINEL_H

#include "sentinel_list.h"

/** The rows of the tables of URL parameters, behind those of redis:// or rediss://. */
enum {
    IDEM__REDIS_SENTINEL_USER,
    IDEM__REDIS_SENTINEL_PASSWORD,
    IDEM__REDIS_SENTINEL_PASSWORD_FILE,
    IDEM__REDIS_SENTINEL_PARAMS
};

/** Of one instance. */
struct idem__redis_sentinel {
    idem__redis_sentinels *list; /**< the store's */
    const idem_value *values;    /**< of the rows above */
    idem__redis_place asked;     /**< the sentinel that has named the master; the asker's host */
    idem__redis_place master;    /**< the instance's host */
    idem__redis asker;           /**< a connection to a sentinel, open while it is asked */
};

/** Checks the parameters. @return IDEM_ERR_ARGUMENT */
int idem__redis_sentinel_check_params(const idem_value *values, idem__redis_fault *fault);

/** Gives an instance what it asks sentinels with. @return IDEM_ERR_NO_MEMORY */
int idem__redis_sentinel_add(idem__redis *self, const idem_value *values, idem__redis_fault *fault);

void idem__redis_sentinel_free(idem__redis *self);

/**
 * Asks for the master, and leads the instance there.
 *
 * The sentinels are asked one after the other until one knows it, each for a share of the time, so
 * that there is some left for the master, whichever of them is silent.
 *
 * @return IDEM_ERR_UNAVAILABLE, permanent if all of them have answered and it does not help to ask
 *         again; IDEM_ERR_NO_MEMORY
 */
int idem__redis_sentinel_ask(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault);

/** What was named as the master can't be used: the next time another sentinel is asked first. */
void idem__redis_sentinel_doubt(idem__redis *self);

/** Opens a connection to one of the store's sentinels and greets it; the caller closes the asker's
 *  wire. @return as ask */
int idem__redis_sentinel_open(idem__redis *self, const idem__redis_place *place,
                              uint64_t deadline_ms, idem__redis_fault *fault);

/** The same for one of the primary's replicas. */
int idem__redis_sentinel_visit(idem__redis *self, const idem__redis_place *place,
                               uint64_t deadline_ms, idem__redis_fault *fault);

#endif
