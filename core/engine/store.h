/* SPDX-License-Identifier: MIT */
/* A store: where it came from, its defaults, and its ways to the backend. */
#ifndef IDEM_CORE_STORE_H
#define IDEM_CORE_STORE_H

#include "keepalive.h"
#include "pool.h"
#include "params.h"
#include "stats.h"
#include "url.h"
#include "watch.h"

#include <stdatomic.h>

struct idem_store {
    uint64_t id; /* of all stores of this process, those that were closed included */
    idem_backend_ops ops;
    idem__url url;
    idem_value common[IDEM__PARAM_COMMON];
    idem_value *own;        /* the backend's parameters */
    void *prepared;         /* by the backend, for all of its instances */
    idem__pool writers;     /* every operation */
    idem__pool readers;     /* gets and scans, when the writers are busy; may be none */
    bool read_first;        /* begin may do well to look before it inserts */
    bool in_process;        /* IDEM_BACKEND_IN_PROCESS: no deadline decides anything */
    bool pooled;            /* records are in this process alone: see random.h */
    _Atomic uint32_t fresh; /* with read_first: so many begins in a row have found nothing */
    idem_bytes prefix;
    uint64_t lease_ms;
    uint64_t ttl_ms;
    uint64_t timeout_ms;
    uint64_t max_response;
    void (*on_event)(void *user, const idem_event *event);
    void *event_user;
    idem__stats stats;
    bool timed;         /* calls are timed */
    bool observe_calls; /* IDEM_OBSERVE_CALLS */
    idem__keeper keeper;
    idem__watch watch;              /* keys that callers wait for */
    struct idem_async *asyncs;      /* the queues on it; guarded as the list below */
    idem_store *next;               /* in the list that fork() walks */
    bool slow_to_rest;              /* during a fork(), guarded likewise */
    bool listed;                    /* the thread that opens it has put it there */
    void (*end)(idem_store *store); /* its opening has failed; guarded as the list */
};

/** An id for a store, never given before: a store that is made where a closed one was is another
 *  one. */
uint64_t idem__store_id(void);

#endif
