/* SPDX-License-Identifier: MIT */
/*
 * Receiving: one thread at a time takes in what has come on a connection, and tells the callers
 * that have all their answers.
 */
#include "pipeline.h"

#include "clock.h"
#include "probe.h"

#include <poll.h>

#define ROOM         64u  /* for what one `receive` gives back */
#define LOOK_MS      250u /* of one sleep */
#define SEND_LOOK_MS 20u

/* ---------------------------------------------------------------------------------- giving back */

/* Takes a waiter that has all its answers off its connection. The lock is held. */
static void take_off(idem__connection *connection, idem__waiter *waiter, idem__wait_queue *done)
{
    idem__wait_queue_remove(&connection->waiters, waiter);
    idem__pipeline_leaves(connection, waiter, !connection->lost);
    waiter->connection = NULL;
    waiter->done = true;
    if (connection->receiver == waiter)
        connection->receiver = NULL;
    idem__wait_queue_add(done, waiter);
}

/* Clears the owner of each op that was given back, and counts it as answered. The lock is held. */
static void settle(idem__connection *connection, idem_op *const *ops, size_t count,
                   idem__wait_queue *done)
{
    for (size_t i = 0; i < count; i++) {
        idem__waiter *waiter = ops[i]->owner;
        ops[i]->owner = NULL;
        connection->in_flight--;
        if (++waiter->answered == waiter->count)
            take_off(connection, waiter, done);
    }
}

/* The connection has failed: fails the ops that were not sent, and takes all waiters off. The lock
   is held. */
static void settle_unsent(idem__connection *connection, const idem_error *why,
                          idem__wait_queue *done)
{
    for (idem__waiter *waiter = connection->waiters.first, *next; waiter; waiter = next) {
        next = waiter->next;
        idem__pool_fail(waiter->ops + waiter->sent, waiter->count - waiter->sent,
                        IDEM_ERR_UNAVAILABLE, why->message);
        waiter->answered = waiter->count;
        take_off(connection, waiter, done);
    }
    connection->in_flight = 0;
}

/* Receives what is there and tells those that have all their answers. A waiter that is done has no
   right to the instance any more: another thread may be alone on it already.
   @return how many ops were given back, and one more if the connection is gone */
static size_t take_in(idem__connection *connection, const idem__waiter *waiter)
{
    idem__pool *pool = connection->pool;
    idem__wait_queue done = {NULL, NULL, 0};
    idem_op *ops[ROOM];
    size_t count;
    size_t total = 0;
    int rc;
    (void)pthread_mutex_lock(&connection->io);
    if (waiter->done) {
        (void)pthread_mutex_unlock(&connection->io);
        return 0;
    }
    do {
        idem_error error = {0};
        count = 0;
        rc = pool->ops->receive(connection->backend, ops, ROOM, &count, &error);
        if (count == 0 && rc == IDEM_OK)
            break;
        (void)pthread_mutex_lock(&pool->lock);
        connection->lost = connection->lost || rc != IDEM_OK;
        settle(connection, ops, count, &done);
        if (rc && count < ROOM)
            settle_unsent(connection, &error, &done);
        (void)pthread_mutex_unlock(&pool->lock);
        total += count + (rc != IDEM_OK);
        IDEM__PROBE3(trip_end, connection->backend, count, rc);
    } while (count == ROOM);
    if (total > 0) {
        idem_wants wants;
        idem__pipeline_note_progress(connection, &wants);
        (void)pthread_mutex_lock(&pool->lock);
        connection->held_until_ns = 0;
        connection->unsent = rc == IDEM_OK && wants.write;
        idem__pipeline_pass_on(connection);
        idem__pipeline_after_change(connection);
        (void)pthread_mutex_unlock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&connection->io);
    idem__wait_queue_finish(&done);
    return total;
}

/* ------------------------------------------------------------------------------------- waiting */

/* Sleeps until the instance has something to do, or a point in time, and for a while at most: a
   waiter that comes on the connection meanwhile may have less time. A thread that may only send
   looks soon again, too: the receiver may have told it, or have closed the descriptor.
   @param to_send  only until it can send */
void idem__pipeline_poll(idem__connection *connection, const idem__waiter *waiter, bool to_send)
{
    idem_wants wants = {.fd = -1};
    uint64_t silent_ms = idem__pipeline_silent_at(connection, waiter);
    uint64_t until_ms = waiter->deadline_ms < silent_ms ? waiter->deadline_ms : silent_ms;
    (void)pthread_mutex_lock(&connection->io);
    if (!waiter->done)
        idem__pipeline_note_progress(connection, &wants);
    (void)pthread_mutex_unlock(&connection->io);
    if (wants.fd < 0 || (wants.at_once && !to_send))
        return;
    int events = (wants.read && !to_send ? POLLIN : 0) | (wants.write ? POLLOUT : 0);
    struct pollfd one = {.fd = wants.fd, .events = (short)events};
    uint64_t now = idem_monotonic_ms();
    uint64_t most = to_send ? SEND_LOOK_MS : LOOK_MS;
    uint64_t left = until_ms > now ? until_ms - now : 0;
    if (events)
        (void)poll(&one, 1, left < most ? (int)left : (int)most);
}

/* Waits for something on the connection, and takes it in. The lock is open. */
static void receive_once(idem__connection *connection, const idem__waiter *waiter, idem__spin spin)
{
    size_t came = take_in(connection, waiter);
    while (came == 0 && !waiter->done && idem__spin_yield(&spin))
        came = take_in(connection, waiter);
    if (came > 0 || waiter->done)
        return;
    idem__pipeline_poll(connection, waiter, false);
    if (take_in(connection, waiter) == 0)
        (void)idem__pipeline_drop_if_silent(connection, waiter);
}

/* Receives until the waiter is done or its deadline has come. This thread is the receiver of its
   connection. The lock is held before and after. */
void idem__pipeline_receive(idem__connection *connection, idem__waiter *waiter)
{
    idem__pool *pool = connection->pool;
    while (!waiter->done) {
        const idem__waiter *last = connection->waiters.last;
        bool more = last && last->sent < last->count;
        idem__spin spin = idem__pipeline_spin(connection);
        (void)pthread_mutex_unlock(&pool->lock);
        if (more)
            idem__pipeline_send_assigned(connection, waiter);
        receive_once(connection, waiter, spin);
        (void)pthread_mutex_lock(&pool->lock);
        if (!waiter->done && idem_monotonic_ms() >= waiter->deadline_ms)
            return;
    }
}
