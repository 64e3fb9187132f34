/* SPDX-License-Identifier: MIT */
/* A submitted call: one that has no thread of its own. */
#ifndef IDEM_CORE_FLIGHT_H
#define IDEM_CORE_FLIGHT_H

#include "call.h"
#include "timer.h"

#include <idem/async.h>

#include <stdatomic.h>

typedef enum {
    IDEM__FLIGHT_QUEUED = 1, /* its operation can be sent */
    IDEM__FLIGHT_DELAYED,    /* until the call's `until_ms` */
    IDEM__FLIGHT_SENT,       /* with the thread that carries it out, or on the loop's connection */
    IDEM__FLIGHT_DONE
} idem__flight_state;

/* A SENT flight belongs to the thread that carries it out. A DONE flight that is off its list
   belongs to the dispatcher. The queue owns the rest, under its lock. */
typedef struct idem__flight idem__flight;
struct idem__flight {
    idem__call *call; /* part of what the flight is a part of */
    /** Takes the answer of a call that is done to where its owner gets it. */
    void (*finish)(idem_store *store, idem__flight *flight);
    /** Tells the store's hook and the owner, and frees the flight. No lock is held. */
    void (*tell)(idem_store *store, idem__flight *flight);
    /** In the child of a fork(), with the keepalive's lock held: the call is the parent's. */
    void (*disown)(idem__flight *flight);
    /** Frees a flight whose owner is not told. */
    void (*free)(idem__flight *flight);

    idem_async_call id;
    idem__flight_state state;
    bool looks;             /* it waits for its key: it goes behind those that do not */
    atomic_bool no_further; /* nothing more of it is to be sent */
    uint64_t sent_ms;       /* SENT by a loop */
    idem__timer timer;      /* QUEUED: the deadline. DELAYED: when it goes on. SENT by a loop: when
                               its answer is waited for no longer */
    idem__flight *next;     /* in the list of its state */
    idem__flight *previous;
    idem__flight *same_bucket;
};

/** A list of flights. All zero: empty. */
typedef struct {
    idem__flight *first;
    idem__flight *last;
    size_t count;
} idem__flights;

void idem__flights_add(idem__flights *list, idem__flight *flight);
void idem__flights_remove(idem__flights *list, idem__flight *flight);

/** The flight of a timer. */
static inline idem__flight *idem__flight_of(idem__timer *timer)
{
    return (idem__flight *)(void *)((char *)timer - offsetof(idem__flight, timer));
}

#endif
