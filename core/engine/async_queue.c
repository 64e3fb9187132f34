/* SPDX-License-Identifier: MIT */
/*
 * Submitted calls on their way, whatever carries them out. A flight sleeps nowhere: what one call
 * waits for holds up no other. One that only looks whether its key is still in progress goes behind
 * those that are new.
 *
 * One lock guards it all; it is not held while the store is called. Under it the keepalive's lock
 * may be taken. Lock order: the list of stores (fork.c), a loop's `io`, this, the keepalive.
 */
#include "async_queue.h"

#include "cancel.h"
#include "clock.h"
#include "inside.h"
#include "loop.h"

#define WRITES       0u
#define READS        1u
#define LOOKS_BESIDE 32u /* of a batch that has others in it */
#define LOOKS_QUEUED 64u /* with so many to be sent, others are put off */
/* In a batch, times differ by this factor at most: it ends by the earliest deadline. */
#define SAME_CLASS 8u

/* ---------------------------------------------------------------------------------------- lists */

static idem__flight **bucket_of(idem_async *async, idem_async_call id)
{
    return &async->buckets[id % IDEM__QUEUE_BUCKETS];
}

static void forget(idem_async *async, const idem__flight *flight)
{
    idem__flight **at = bucket_of(async, flight->id);
    while (*at != flight)
        at = &(*at)->same_bucket;
    *at = flight->same_bucket;
}

static idem__way *way_of(idem_async *async, const idem__flight *flight)
{
    bool reads = async->workers > READS && flight->call->op.kind == IDEM_OP_GET;
    return &async->ways[reads ? READS : WRITES];
}

static idem__flights *list_of(idem_async *async, const idem__flight *flight)
{
    idem__way *way = way_of(async, flight);
    return flight->looks ? &way->looks : &way->fresh;
}

size_t idem__queue_ready(const idem__way *way)
{
    return way->fresh.count + way->looks.count;
}

/* --------------------------------------------------------------------------------------- states */

/* One that was cancelled while it was in hand goes no further. */
static void heed_cancel(idem_async *async, idem__flight *flight)
{
    if (flight->state == IDEM__FLIGHT_DONE || !atomic_load(&flight->no_further))
        return;
    idem__call_cancel(async->store, flight->call, "the call was cancelled before it was done");
    flight->finish(async->store, flight);
    flight->state = IDEM__FLIGHT_DONE;
}

void idem__queue_put(idem_async *async, idem__flight *flight)
{
    heed_cancel(async, flight);
    uint64_t at_ms = flight->call->deadline_ms + IDEM__QUEUE_GRAIN_MS;
    if (flight->state == IDEM__FLIGHT_DONE) {
        idem__timers_unset(&async->timers, &flight->timer);
        forget(async, flight);
        idem__flights_add(&async->done, flight);
        idem__notifier_signal(&async->notifier);
        return;
    }
    if (flight->state == IDEM__FLIGHT_DELAYED) {
        flight->looks = flight->call->waits;
        at_ms = flight->call->until_ms;
    } else {
        idem__flights_add(list_of(async, flight), flight);
        idem__workers_wake(async, way_of(async, flight));
    }
    idem__timers_set(&async->timers, &flight->timer, at_ms);
    idem__workers_look_by(async, at_ms);
}

static idem__flight_state state_after(idem_store *store, idem__flight *flight, idem__call_next next)
{
    if (next == IDEM__CALL_DONE)
        flight->finish(store, flight);
    return next == IDEM__CALL_SEND   ? IDEM__FLIGHT_QUEUED
           : next == IDEM__CALL_WAIT ? IDEM__FLIGHT_DELAYED
                                     : IDEM__FLIGHT_DONE;
}

/* A call that may wait for its key is done as far as the protocol knows: it is asked to go on no
   further. */
idem__flight_state idem__queue_step(idem_store *store, idem__flight *flight)
{
    idem__call_next next = idem__call_step(store, flight->call);
    if (next != IDEM__CALL_DONE && atomic_load(&flight->no_further)) {
        idem__call_cancel(store, flight->call, "the call was cancelled before it was done");
        next = IDEM__CALL_DONE;
    }
    return state_after(store, flight, next);
}

static bool is_same_class(uint64_t a_ms, uint64_t b_ms, uint64_t now)
{
    uint64_t a_left = a_ms > now ? a_ms - now : 0;
    uint64_t b_left = b_ms > now ? b_ms - now : 0;
    return a_left / SAME_CLASS <= b_left && b_left / SAME_CLASS <= a_left;
}

static size_t take_from(idem__way *way, idem__flights *list, idem__flight **flights, size_t count,
                        size_t room)
{
    uint64_t now = count + list->count > 1 ? idem_monotonic_ms() : 0;
    for (idem__flight *flight = list->first, *next; flight && count < room; flight = next) {
        next = flight->next;
        if (count > 0 && !way->async->loop.used &&
            !is_same_class(flights[0]->call->deadline_ms, flight->call->deadline_ms, now))
            continue;
        idem__flights_remove(list, flight);
        idem__timers_unset(&way->async->timers, &flight->timer);
        flight->state = IDEM__FLIGHT_SENT;
        flights[count++] = flight;
    }
    return count;
}

size_t idem__queue_take(idem__way *way, idem__flight **flights, size_t room, size_t looks_room)
{
    size_t count = take_from(way, &way->fresh, flights, 0, room);
    size_t looks = count > 0 && looks_room > LOOKS_BESIDE ? LOOKS_BESIDE : looks_room;
    return take_from(way, &way->looks, flights, count, looks < room - count ? count + looks : room);
}

/* ----------------------------------------------------------------------------------------- time */

static void expire(idem_async *async, idem__flight *flight)
{
    idem__flights_remove(list_of(async, flight), flight);
    idem__call_end(async->store, flight->call,
                   "the store was busy with other calls until the deadline; call again, or set a "
                   "longer timeout");
    flight->finish(async->store, flight);
    flight->state = IDEM__FLIGHT_DONE;
    idem__queue_put(async, flight);
}

static void resume(idem_async *async, idem__flight *flight)
{
    size_t looks = async->ways[WRITES].looks.count + async->ways[READS].looks.count;
    idem__call_next next = idem__call_resume(async->store, flight->call, looks >= LOOKS_QUEUED);
    flight->state = state_after(async->store, flight, next);
    idem__queue_put(async, flight);
}

bool idem__queue_see_to_time(idem_async *async, uint64_t now, size_t limit)
{
    for (size_t i = 0; i < limit; i++) {
        idem__timer *timer = idem__timers_take_due(&async->timers, now + IDEM__QUEUE_GRAIN_MS);
        if (!timer)
            return true;
        idem__flight *flight = idem__flight_of(timer);
        if (flight->state == IDEM__FLIGHT_DELAYED)
            resume(async, flight);
        else if (flight->state == IDEM__FLIGHT_SENT)
            idem__loop_expire(async, flight, now);
        else
            expire(async, flight);
    }
    return false;
}

/* --------------------------------------------------------------------------------------- adding */

/* In the child of a fork(). Off the lock, since a claim that is freed may take the keepalive's. */
static void free_orphans(idem_async *async)
{
    idem__flights orphans;
    idem__notes notes = {NULL, NULL};
    idem__note *note;
    idem__inside_lock(&async->lock);
    orphans = async->orphans;
    memset(&async->orphans, 0, sizeof async->orphans);
    idem__notes_move(&notes, &async->orphan_notes);
    idem__inside_unlock(&async->lock);
    while ((note = idem__notes_take(&notes)) != NULL)
        idem__note_free(note);
    while (orphans.first) {
        idem__flight *flight = orphans.first;
        idem__flights_remove(&orphans, flight);
        flight->free(flight);
    }
}

/* Lock held. */
static int accept_flight(idem_async *async, idem__flight *flight, idem_async_call *call,
                         idem_error *error)
{
    if (async->closing)
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "the queue is being closed; nothing was submitted");
    if (async->notifier.fd < 0)
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "this process, forked from another, had no file descriptor for the "
                              "queue; open one of its own");
    if (idem__workers_start(async)) /* the system tells no difference between its two reasons */
        return idem_error_set(error, IDEM_ERR_NO_MEMORY,
                              "no thread could be started for submitted calls, for want of memory "
                              "or by a limit on threads; submit again later, or raise it");
    if (async->loop.used && flight->call->events)
        flight->call->events->repeats = &async->loop.repeats;
    flight->id = ++async->last_id;
    flight->state = IDEM__FLIGHT_QUEUED;
    idem__flight **bucket = bucket_of(async, flight->id);
    flight->same_bucket = *bucket;
    *bucket = flight;
    (void)atomic_fetch_add(&async->pending, 1);
    if (call)
        *call = flight->id;
    idem__queue_put(async, flight);
    return IDEM_OK;
}

int idem__queue_add(idem_async *async, idem__flight *flight, idem_async_call *call,
                    idem_error *error)
{
    idem__inside_lock(&async->lock);
    int rc = accept_flight(async, flight, call, error);
    bool orphans = async->orphans.first != NULL;
    idem__inside_unlock(&async->lock);
    if (orphans)
        free_orphans(async);
    return rc;
}

void idem__queue_work(idem_async *async)
{
    int cancel_state = idem__cancel_hold();
    if (async->loop.used) {
        idem__loop_turn(async);
        idem__cancel_restore(cancel_state);
        return;
    }
    idem__inside_lock(&async->lock);
    size_t left = async->workers == 0 ? idem__queue_ready(&async->ways[WRITES]) : 0;
    while (left > 0 && idem__queue_ready(&async->ways[WRITES]) > 0) {
        if (async->frozen) {
            (void)pthread_cond_wait(&async->rested, &async->lock);
            continue;
        }
        size_t done = idem__workers_carry(async, &async->ways[WRITES], left);
        left -= done < left ? done : left;
    }
    idem__inside_unlock(&async->lock);
    idem__cancel_restore(cancel_state);
}

void idem__queue_send(idem_async *async)
{
    int cancel_state = idem__cancel_hold();
    if (async->loop.used)
        idem__loop_send(async);
    idem__cancel_restore(cancel_state);
}

idem__flight *idem__queue_take_done(idem_async *async)
{
    idem__flight *flight = async->done.first;
    if (flight) {
        idem__flights_remove(&async->done, flight);
        (void)atomic_fetch_sub(&async->pending, 1);
    }
    return flight;
}

void idem__queue_calm(idem_async *async)
{
    bool loop = async->loop.used;
    if (loop)
        idem__inside_lock(&async->loop.io);
    idem__inside_lock(&async->lock);
    bool work = loop ? idem__loop_has_work(async)
                     : async->workers == 0 && idem__queue_ready(&async->ways[WRITES]) > 0;
    if (async->done.first || work)
        idem__notifier_signal(&async->notifier);
    else
        idem__notifier_clear(&async->notifier);
    idem__inside_unlock(&async->lock);
    if (loop)
        idem__inside_unlock(&async->loop.io);
}

/* ----------------------------------------------------------------------------------- cancelling */

/* Lock held. */
static bool cancel(idem_async *async, idem__flight *flight, const char *why)
{
    atomic_store(&flight->no_further, true);
    if (flight->state == IDEM__FLIGHT_SENT)
        return false;
    if (flight->state == IDEM__FLIGHT_QUEUED)
        idem__flights_remove(list_of(async, flight), flight);
    idem__call_cancel(async->store, flight->call, why);
    flight->finish(async->store, flight);
    flight->state = IDEM__FLIGHT_DONE;
    idem__queue_put(async, flight);
    return true;
}

bool idem__queue_cancel(idem_async *async, idem_async_call call)
{
    bool cancelled = false;
    idem__inside_lock(&async->lock);
    idem__flight *flight = *bucket_of(async, call);
    while (flight && flight->id != call)
        flight = flight->same_bucket;
    if (flight)
        cancelled = cancel(async, flight, "the call was cancelled");
    idem__inside_unlock(&async->lock);
    return cancelled;
}

void idem__queue_cancel_all(idem_async *async)
{
    for (size_t i = 0; i < IDEM__QUEUE_BUCKETS; i++) {
        for (idem__flight *flight = async->buckets[i], *next; flight; flight = next) {
            next = flight->same_bucket;
            (void)cancel(async, flight, "the queue was closed before the call was sent");
        }
    }
}

void idem__queue_stop(idem_async *async)
{
    int cancel_state = idem__cancel_hold();
    if (async->loop.used)
        (void)idem__loop_drain(async, UINT64_MAX);
    idem__loop_tell(async);
    idem__inside_lock(&async->lock);
    while (async->sending > 0)
        (void)pthread_cond_wait(&async->rested, &async->lock);
    idem__queue_cancel_all(async); /* what came back just before it was told not to go on */
    async->stopping = true;
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        (void)pthread_cond_signal(&async->ways[i].wanted);
    (void)pthread_cond_signal(&async->sooner);
    idem__inside_unlock(&async->lock);
    idem__workers_join(async);
    free_orphans(async);
    idem__cancel_restore(cancel_state);
}

/* ------------------------------------------------------------------------------- making, fork() */

static size_t workers_for(const idem_store *store)
{
    if (store->ops.traits & IDEM_BACKEND_NO_BACKGROUND)
        return 0;
    return store->read_first && store->readers.max > 0 ? 2 : 1;
}

static void init_conds(idem_async *async, int *failed)
{
    pthread_cond_t *conds[] = {&async->ways[WRITES].wanted, &async->ways[READS].wanted,
                               &async->rested, &async->sooner};
    for (size_t i = 0; i < sizeof conds / sizeof conds[0]; i++)
        *failed |= idem__clock_cond_init(conds[i]);
}

int idem__queue_init(idem_async *async, idem_store *store, idem_error *error)
{
    memset(async, 0, sizeof *async);
    async->store = store;
    async->workers = workers_for(store);
    async->look_ms = UINT64_MAX;
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        async->ways[i].async = async;
    int rc = idem__notifier_open(&async->notifier, error);
    if (rc)
        return rc;
    async->fd = async->notifier.fd;
    if (store->ops.send && idem__loop_init(async)) {
        async->workers = 0;
        async->fd = async->loop.set;
    }
    int failed = pthread_mutex_init(&async->lock, NULL);
    init_conds(async, &failed);
    if (failed) {
        idem__notifier_close(&async->notifier);
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a lock can't be made");
    }
    return IDEM_OK;
}

void idem__queue_destroy(idem_async *async)
{
    if (async->loop.used)
        idem__loop_destroy(async);
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        (void)pthread_cond_destroy(&async->ways[i].wanted);
    (void)pthread_cond_destroy(&async->rested);
    (void)pthread_cond_destroy(&async->sooner);
    (void)pthread_mutex_destroy(&async->lock);
    idem__notifier_close(&async->notifier);
}

static void disown(idem_async *async, idem__flight *flight)
{
    flight->disown(flight);
    idem__flights_add(&async->orphans, flight);
}

/* The threads are the parent's, and so are the calls. Nothing is freed here: another thread may
   have had the allocator in hand. */
static void become_child(idem_async *async)
{
    int failed = 0;
    for (size_t i = 0; i < IDEM__QUEUE_BUCKETS; i++) {
        for (idem__flight *flight = async->buckets[i]; flight; flight = flight->same_bucket)
            disown(async, flight);
    }
    for (idem__flight *flight = async->done.first, *next; flight; flight = next) {
        next = flight->next;
        disown(async, flight);
    }
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++) {
        memset(&async->ways[i].fresh, 0, sizeof async->ways[i].fresh);
        memset(&async->ways[i].looks, 0, sizeof async->ways[i].looks);
        async->ways[i].running = false;
    }
    memset(&async->timers, 0, sizeof async->timers);
    memset(&async->done, 0, sizeof async->done);
    idem__notes_move(&async->orphan_notes, &async->loop.repeats);
    memset(async->buckets, 0, sizeof async->buckets);
    atomic_store(&async->pending, 0);
    async->watched = false;
    async->look_ms = UINT64_MAX;
    if (async->dispatching > 0 && !pthread_equal(async->dispatcher, pthread_self()))
        async->dispatching = 0;
    init_conds(async, &failed);
    idem__notifier_renew(&async->notifier);
}

void idem__queue_freeze(idem_async *async)
{
    idem__inside_lock(&async->lock);
    async->frozen = true;
    idem__inside_unlock(&async->lock);
}

bool idem__queue_rest(idem_async *async, uint64_t until_ms)
{
    bool in_time = !async->loop.used || idem__loop_drain(async, until_ms);
    idem__inside_lock(&async->lock);
    while (in_time && async->sending > 0)
        in_time = idem__clock_cond_wait(&async->rested, &async->lock, until_ms);
    bool rests = in_time && async->sending == 0;
    idem__inside_unlock(&async->lock);
    return rests;
}

/* Lock held. */
static void go_on(idem_async *async)
{
    async->frozen = false;
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        (void)pthread_cond_signal(&async->ways[i].wanted);
    (void)pthread_cond_signal(&async->sooner);
    (void)pthread_cond_broadcast(&async->rested);
    if (async->workers == 0 && idem__queue_ready(&async->ways[WRITES]) > 0)
        idem__notifier_signal(&async->notifier);
}

void idem__queue_thaw(idem_async *async)
{
    idem__inside_lock(&async->lock);
    go_on(async);
    idem__inside_unlock(&async->lock);
}

void idem__queue_fork(idem_async *async, idem_fork_phase phase)
{
    if (async->loop.used && phase == IDEM_FORK_PREPARE)
        idem__loop_fork(async, phase);
    if (phase == IDEM_FORK_PREPARE) {
        idem__inside_lock(&async->lock);
        return; /* the lock stays held across the fork */
    }
    if (phase == IDEM_FORK_CHILD)
        become_child(async);
    if (async->loop.used)
        idem__loop_fork(async, phase);
    go_on(async);
    idem__inside_unlock(&async->lock);
}
