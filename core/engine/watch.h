/* SPDX-License-Identifier: MIT */
/* Waiting for a key that is in progress: what one caller of this process has just seen is not asked
   for by the others. */
#ifndef IDEM_CORE_WATCH_H
#define IDEM_CORE_WATCH_H

#include "protocol.h"

#include <pthread.h>
#include <stdatomic.h>

#define IDEM__WATCH_SLOTS 1024u

/** The last looks, by the keys' hashes: a key may take another's place, which costs one look. */
typedef struct {
    pthread_mutex_t lock;
    atomic_size_t waiting; /**< calls that wait for a key */
    uint32_t looks_left;   /**< that may be made now */
    uint64_t counted_ms;   /**< when they were last made more */
    struct {
        uint64_t hash;
        uint64_t seen_ms;  /**< when it was found in progress; 0: nothing is known */
        uint64_t until_ms; /**< when the lease that was found ends */
    } slots[IDEM__WATCH_SLOTS];
} idem__watch;

/** @return 0, or -1 */
int idem__watch_init(idem__watch *watch);
void idem__watch_destroy(idem__watch *watch);

/** Notes what a begin that may wait has found. */
void idem__watch_note(idem_store *store, const idem__call *call, uint64_t now);

typedef enum {
    IDEM__WATCH_LOOK = 1,
    IDEM__WATCH_SEEN,   /**< another caller has found the key in progress since this one has begun
                             to wait for its next look, and the lease that it found goes on */
    IDEM__WATCH_CROWDED /**< others make all the looks that a store may make in this time */
} idem__watch_answer;

/** Whether a call that waits for its key has to look now. */
idem__watch_answer idem__watch_ask(idem_store *store, const idem__call *call, uint64_t now);

/** Counts a call that waits for its key, once; and no more, when it is done. */
void idem__watch_join(idem_store *store, idem__call *call);
void idem__watch_leave(idem_store *store, idem__call *call);

/** The pause that those before the first look begin with: a crowd that comes at once does not look
 *  at once. */
uint64_t idem__watch_first_pause_ms(const idem_store *store);

/** The longest pause between two looks: with many keys that are waited for, the looks of them all
 *  stay below a rate. */
uint64_t idem__watch_pause_limit_ms(const idem_store *store);

#endif
