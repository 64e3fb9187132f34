/* SPDX-License-Identifier: MIT */
/* The keepalive: one thread per store that renews the claims that asked for it. */
#ifndef IDEM_CORE_KEEPALIVE_H
#define IDEM_CORE_KEEPALIVE_H

#include "claim.h"

#include <pthread.h>

struct idem__keeper {
    idem_store *store;
    bool running;
    bool stopping;
    pthread_t thread;
    pthread_cond_t changed;
    idem__timers timers;         /* of the claims to renew */
    size_t count;                /* of these claims */
    uint64_t shortest_ms;        /* the shortest lease since there was no claim */
    uint64_t wakes_ms;           /* the thread sleeps until then; 0: it does not sleep */
    uint32_t spread;             /* where in its part of the interval the next renewal is put */
    struct idem__renewal *batch; /* the thread's */
    size_t taken;                /* of the batch, so many hold references, */
    size_t finished;             /* less those that have given them back, in order */
};

/** Makes a keeper without a thread. @return IDEM_ERR_INTERNAL */
int idem__keepalive_init(idem__keeper *keeper, idem_store *store, idem_error *error);

/** True if the keeper's thread was started. */
bool idem__keepalive_is_running(idem__keeper *keeper);

/** Starts the keeper's thread if it does not run. @return IDEM_ERR_INTERNAL */
int idem__keepalive_start(idem__keeper *keeper, idem_error *error);

/** Ends the thread and forgets all claims. */
void idem__keepalive_stop(idem__keeper *keeper);

/** Guards every kept claim and every keeper's heap. */
void idem__keepalive_lock(void);
void idem__keepalive_unlock(void);

/** Gives a claim to a started keeper, or makes its next renewal due anew. Lock held. */
void idem__keepalive_add(idem__keeper *keeper, idem_claim *claim);

/** Makes the next renewal due now, if the claim is a keeper's: it shows what the record is. Lock
 *  held. */
void idem__keepalive_hurry(idem_claim *claim);

/** Takes a claim from its keeper, if it has one. Lock held. */
void idem__keepalive_remove(idem_claim *claim);

/** How many claims are kept. */
size_t idem__keepalive_count(const idem__keeper *keeper);

/** In the child of a fork(): the thread is not there. Lock held. */
void idem__keepalive_child(idem__keeper *keeper);

#endif
