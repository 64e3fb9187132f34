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
    idem_claim *first; /* the claims to renew */
    size_t count;      /* of them */
};

/** Makes a keeper without a thread. @return IDEM_ERR_INTERNAL */
int idem__keepalive_init(idem__keeper *keeper, idem_store *store, idem_error *error);

/** True if the keeper's thread was started. */
bool idem__keepalive_is_running(idem__keeper *keeper);

/** Starts the keeper's thread if it does not run. @return IDEM_ERR_INTERNAL */
int idem__keepalive_start(idem__keeper *keeper, idem_error *error);

/** Ends the thread and forgets all claims. */
void idem__keepalive_stop(idem__keeper *keeper);

/** Guards every kept claim and every keeper's list. */
void idem__keepalive_lock(void);
void idem__keepalive_unlock(void);

/** Puts a claim on a started keeper's list, or makes its next renewal due anew. Lock held. */
void idem__keepalive_add(idem__keeper *keeper, idem_claim *claim);

/** Takes a claim off its keeper's list, if it is on one. Lock held. */
void idem__keepalive_remove(idem_claim *claim);

/** How many claims are kept. */
size_t idem__keepalive_count(const idem__keeper *keeper);

/** In the child of a fork(): the thread is not there. Lock held. */
void idem__keepalive_child(idem__keeper *keeper);

#endif
