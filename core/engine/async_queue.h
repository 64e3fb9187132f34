/* SPDX-License-Identifier: MIT */
/*
 * What is behind an idem_async: where submitted calls are, and what carries them out. Workers do
 * (workers.c), or the thread that dispatches: on a connection of its own where the backend sends
 * and receives apart (loop.c), else by calls that block.
 */
#ifndef IDEM_CORE_ASYNC_QUEUE_H
#define IDEM_CORE_ASYNC_QUEUE_H

#include "flight.h"
#include "notes.h"
#include "notifier.h"
#include "store.h"

#define IDEM__QUEUE_WAYS    2u
#define IDEM__QUEUE_BUCKETS 1024u
/* What is due so soon is taken along, so that time is not looked at for each. A deadline, which
   must not come early, is set so much later. */
#define IDEM__QUEUE_GRAIN_MS 2u

/* What one worker takes its flights from. */
typedef struct {
    idem_async *async;
    idem__flights fresh;
    idem__flights looks; /* those that wait for a key, and look again */
    bool running;
    pthread_t thread;
    pthread_cond_t wanted;
} idem__way;

/* A connection that the dispatching thread drives. All but the connector's part is guarded by `io`,
   which is taken before the queue's lock. */
typedef struct {
    bool used;
    pthread_mutex_t io;
    idem_backend *backend;
    idem_config config;
    bool sound; /* it was connected, and nothing has failed since */
    size_t in_flight;
    size_t looks;      /* among them */
    size_t received;   /* in this turn */
    uint64_t heard_ms; /* when something last came */
    uint64_t owed_ms;  /* since when an answer is owed without a byte; 0: calls were answered */
    uint64_t progress; /* idem_wants.progress at that moment */
    int set;           /* epoll: the notifier, the timer, the socket */
    int timer;         /* timerfd */
    uint64_t armed_ms; /* when it fires; UINT64_MAX: not */
    int watched;       /* the socket in the set; -1: none */
    bool watched_write;
    bool blocked;        /* what is ready can't be sent for now */
    bool more;           /* more was received than one turn takes in */
    bool due_left;       /* likewise of what was due */
    idem__flights late;  /* given up at their deadlines */
    idem__notes repeats; /* the hook is to be told of them, once `io` is open */

    /* the thread that connects; guarded by the queue's lock */
    bool connecting;
    bool ended; /* it has, and is to be joined */
    pthread_t connector;
    uint64_t connect_by_ms;
    int rc;
    idem_error error;
} idem__loop;

struct idem_async {
    idem_store *store;
    idem_async *next;        /* on the same store; guarded by the list of stores */
    idem__notifier notifier; /* signalled while `done` or, without workers, a way has flights */
    int fd;                  /* what the user's loop polls: the notifier's, or the loop's set */
    atomic_size_t pending;   /* calls without a callback yet */
    pthread_mutex_t lock;

    /* guarded by the lock */
    idem__way ways[IDEM__QUEUE_WAYS]; /* writes; reads, if these have a worker of their own */
    size_t workers;                   /* 0: the thread that dispatches carries the calls out */
    idem__timers timers;              /* of all that are not done */
    idem__flights done;
    idem__flights orphans;    /* in the child of a fork(): the parent's, to be freed */
    idem__notes orphan_notes; /* likewise */
    idem__flight *buckets[IDEM__QUEUE_BUCKETS]; /* by id: all that are not done */
    idem_async_call last_id;
    size_t sending;        /* threads that have flights in hand */
    bool frozen;           /* a fork() is near: nothing is sent */
    bool closing;          /* nothing is accepted */
    bool stopping;         /* threads end */
    pthread_cond_t rested; /* `sending` fell, or the connector has ended */

    bool watched; /* the thread that watches over time runs */
    pthread_t watcher;
    uint64_t look_ms; /* when it looks next */
    pthread_cond_t sooner;

    idem__loop loop;

    size_t dispatching; /* how deep */
    pthread_t dispatcher;
};

/** Makes a queue without threads. @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_INTERNAL */
int idem__queue_init(idem_async *async, idem_store *store, idem_error *error);

/** Ends what it made. No thread runs. */
void idem__queue_destroy(idem_async *async);

/** Adds a flight whose call was started. It stays the caller's if that fails.
 *  @param[out] call  its name; may be NULL
 *  @return IDEM_ERR_UNAVAILABLE: no more calls are taken; IDEM_ERR_NO_MEMORY */
int idem__queue_add(idem_async *async, idem__flight *flight, idem_async_call *call,
                    idem_error *error);

/** Where there are no workers: carries out what is ready, up to what was there when it began. */
void idem__queue_work(idem_async *async);

/** On a loop's connection: sends what the callbacks have submitted, so that it need not wait for
 *  the next turn. */
void idem__queue_send(idem_async *async);

/** Takes the first flight that is done. Lock held. @return NULL: there is none */
idem__flight *idem__queue_take_done(idem_async *async);

/** Makes the descriptor unreadable if there is nothing to dispatch. */
void idem__queue_calm(idem_async *async);

/** @return as idem_async_cancel() */
bool idem__queue_cancel(idem_async *async, idem_async_call call);

/** Cancels what is not sent, and keeps the rest from going on. Lock held. */
void idem__queue_cancel_all(idem_async *async);

/** Ends the threads, when what is sent has come back. All flights are done then. */
void idem__queue_stop(idem_async *async);

/** Before a fork(): sends nothing more; waits until nothing is in hand (false: not in time); undoes
 *  it. */
void idem__queue_freeze(idem_async *async);
bool idem__queue_rest(idem_async *async, uint64_t until_ms);
void idem__queue_thaw(idem_async *async);

/** Takes a frozen queue at rest across a fork(). The lock stays held between the phases. */
void idem__queue_fork(idem_async *async, idem_fork_phase phase);

/* ---------------------------------------------- among async_queue.c, workers.c and the loop's */

/** Puts a flight where its state says. Lock held. */
void idem__queue_put(idem_async *async, idem__flight *flight);

/** Takes in what came of a SENT flight's operation. Without the lock. @return its next state, which
 *  is set by the caller under the lock */
idem__flight_state idem__queue_step(idem_store *store, idem__flight *flight);

/** Takes up to `room` flights of a way, those that look behind the others, and marks them as SENT.
 *  Lock held.
 *  @param looks_room  so many that look, at most */
size_t idem__queue_take(idem__way *way, idem__flight **flights, size_t room, size_t looks_room);

/** How many a way has. Lock held. */
size_t idem__queue_ready(const idem__way *way);

/** Sees to flights whose time has come, to so many at most. Lock held.
 *  @return true: that was all */
bool idem__queue_see_to_time(idem_async *async, uint64_t now, size_t limit);

/** Wakes what carries out, or watches over time. Lock held. */
void idem__workers_wake(idem_async *async, idem__way *way);
void idem__workers_look_by(idem_async *async, uint64_t when_ms);

/** Starts the threads that do not run. Lock held. @return 0, or an errno */
int idem__workers_start(idem_async *async);

/** Carries out one operation of each of a batch. Lock held before and after. @return how many */
size_t idem__workers_carry(idem_async *async, idem__way *way, size_t room);

void idem__workers_join(idem_async *async);

#endif
