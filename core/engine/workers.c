/* SPDX-License-Identifier: MIT */
/*
 * Threads that carry submitted calls out on a backend that blocks. A worker takes what is ready, up
 * to a batch, has one operation of each carried out together, and sorts them. Where gets have
 * connections of their own, they have a worker of their own: a caller that only reads does not wait
 * for the disk.
 *
 * A worker may be held up inside the store until its batch's deadline. So time is another thread's:
 * the watcher makes ready what is due, and ends what no worker was free to send in time.
 */
#include "async_queue.h"
#include "clock.h"
#include "inside.h"
#include "thread.h"

#define DUE_AT_ONCE 256u /* seen to before the lock is opened for others */
#define LOOKS_MAX   64u  /* in a batch: what is new waits for it */

void idem__workers_wake(idem_async *async, idem__way *way)
{
    if (async->workers > 0)
        (void)pthread_cond_signal(&way->wanted);
    else
        idem__notifier_signal(&async->notifier);
}

void idem__workers_look_by(idem_async *async, uint64_t when_ms)
{
    if (when_ms >= async->look_ms)
        return;
    async->look_ms = when_ms;
    (void)pthread_cond_signal(&async->sooner);
}

static void send(idem_store *store, idem__flight *const *flights, size_t count,
                 idem__flight_state *states)
{
    idem__call *calls[IDEM_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        calls[i] = flights[i]->call;
    idem__call_send(store, calls, count);
    for (size_t i = 0; i < count; i++)
        states[i] = idem__queue_step(store, flights[i]);
}

size_t idem__workers_carry(idem_async *async, idem__way *way, size_t room)
{
    idem__flight *flights[IDEM_BATCH_MAX];
    idem__flight_state states[IDEM_BATCH_MAX];
    size_t count =
        idem__queue_take(way, flights, room < IDEM_BATCH_MAX ? room : IDEM_BATCH_MAX, LOOKS_MAX);
    async->sending++;
    idem__inside_unlock(&async->lock);
    send(async->store, flights, count, states);
    idem__inside_lock(&async->lock);
    for (size_t i = 0; i < count; i++) {
        flights[i]->state = states[i];
        idem__queue_put(async, flights[i]);
    }
    async->sending--;
    if (async->frozen || async->closing)
        (void)pthread_cond_broadcast(&async->rested);
    return count;
}

static void *work(void *argument)
{
    idem__way *way = argument;
    idem_async *async = way->async;
    idem__inside_lock(&async->lock);
    while (!async->stopping) {
        if (async->frozen || idem__queue_ready(way) == 0)
            (void)idem__clock_cond_wait(&way->wanted, &async->lock, UINT64_MAX);
        else
            (void)idem__workers_carry(async, way, IDEM_BATCH_MAX);
    }
    idem__inside_unlock(&async->lock);
    return NULL;
}

static void *watch(void *argument)
{
    idem_async *async = argument;
    idem__inside_lock(&async->lock);
    while (!async->stopping) {
        uint64_t now = idem_monotonic_ms();
        if (async->frozen || now < async->look_ms) {
            (void)idem__clock_cond_wait(&async->sooner, &async->lock,
                                        async->frozen ? UINT64_MAX : async->look_ms);
            continue;
        }
        async->look_ms = 0; /* no signal is needed while this thread runs */
        bool all = idem__queue_see_to_time(async, now, DUE_AT_ONCE);
        async->look_ms = idem__timers_next_ms(&async->timers);
        if (all)
            continue;
        idem__inside_unlock(&async->lock);
        idem__inside_lock(&async->lock);
    }
    idem__inside_unlock(&async->lock);
    return NULL;
}

int idem__workers_start(idem_async *async)
{
    int failed = 0;
    if (async->loop.used)
        return 0;
    for (size_t i = 0; !failed && i < async->workers; i++) {
        idem__way *way = &async->ways[i];
        if (way->running)
            continue;
        failed = idem__thread_start(&way->thread, work, way);
        way->running = !failed;
    }
    if (!failed && !async->watched) {
        failed = idem__thread_start(&async->watcher, watch, async);
        async->watched = !failed;
    }
    return failed;
}

void idem__workers_join(idem_async *async)
{
    for (size_t i = 0; i < async->workers; i++) {
        if (async->ways[i].running)
            (void)pthread_join(async->ways[i].thread, NULL);
    }
    if (async->watched)
        (void)pthread_join(async->watcher, NULL);
}
