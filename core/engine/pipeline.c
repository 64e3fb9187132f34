/* SPDX-License-Identifier: MIT */
/*
 * Carrying operations out on connections that send and receive apart. One thread at a time sends on
 * a connection, one at a time receives; both are threads of callers. A caller that has its own
 * answer hands the right to receive on to one that has not.
 *
 * A server on the same machine answers within microseconds. So the connection is held meanwhile:
 * what comes gathers in the queue and goes out as one batch. Over a network the next batch leaves
 * at once. That adapts by itself (near.c).
 *
 * A caller whose deadline comes abandons its operations and leaves; the connection and everybody
 * else on it live on. A connection that has owed an answer for a part of a caller's time without a
 * single byte is given up, and the operations are repeated on another one.
 *
 * Locks: `io` of a connection, then the pool's. Whatever touches the instance holds `io`, or has a
 * connection without waiters as `busy`.
 */
#include "pipeline.h"

/* The next one that receives. It is woken although it may be on its way. The lock is held. */
void idem__pipeline_pass_on(idem__connection *connection)
{
    if (connection->receiver || !connection->waiters.first)
        return;
    connection->receiver = connection->waiters.first;
    idem__waiter_wake(connection->receiver);
}

/* The lock is held. */
void idem__pipeline_after_change(idem__connection *connection)
{
    idem__pool *pool = connection->pool;
    if (connection->waiters.count == 0) {
        connection->unsent = false;
        atomic_store(&connection->least_ms, UINT64_MAX);
        if (pool->frozen)
            (void)pthread_cond_broadcast(&pool->changed);
    }
    idem__pool_wake_head(pool);
}

/* Does what there is to do for a waiter: sends, receives, or sends the rest. The lock is held
   before and after. @return false: it has to wait for other threads */
static bool work(idem__pool *pool, idem__waiter *waiter)
{
    idem__connection *connection = waiter->connection;
    if (waiter->queued) {
        connection = idem__pipeline_to_send_on(pool);
        if (connection)
            idem__pipeline_send(connection, waiter);
        return connection != NULL;
    }
    if (!connection->receiver)
        connection->receiver = waiter;
    if (connection->receiver == waiter) {
        idem__pipeline_receive(connection, waiter);
        return true;
    }
    if (!connection->unsent || connection->busy)
        return false;
    /* Not to receive: the answer may be that of the receiver, which sleeps in poll(). */
    (void)pthread_mutex_unlock(&pool->lock);
    idem__pipeline_poll(connection, waiter, true);
    idem__pipeline_send_assigned(connection, waiter);
    (void)idem__pipeline_drop_if_silent(connection, waiter);
    (void)pthread_mutex_lock(&pool->lock);
    return true;
}

/* Parks, or spins, until it is woken or told; a waiter whose connection stays silent gives it up.
   The lock is held before and after. */
static void wait(idem__pool *pool, idem__waiter *waiter)
{
    idem__connection *connection = waiter->connection;
    bool watches = connection && !waiter->gave_up;
    uint64_t silent_ms = watches ? idem__pipeline_silent_at(connection, waiter) : UINT64_MAX;
    uint64_t until_ms = waiter->deadline_ms < silent_ms ? waiter->deadline_ms : silent_ms;
    uint64_t soon_ms = idem_monotonic_ms() + 1;
    atomic_uint *spins = idem__pipeline_any_near(pool) ? &pool->failed_spins : NULL;
    if (waiter->queued && idem__pipeline_any_held(pool) && soon_ms < until_ms)
        until_ms = soon_ms; /* a hold ends without a sign */
    (void)pthread_mutex_unlock(&pool->lock);
    bool came = idem__waiter_wait(waiter, until_ms, spins);
    bool gave_up = !came && idem_monotonic_ms() >= silent_ms &&
                   idem__pipeline_drop_if_silent(connection, waiter);
    (void)pthread_mutex_lock(&pool->lock);
    waiter->gave_up = waiter->gave_up || gave_up;
}

void idem__pipeline_run(idem__pool *pool, idem__waiter *waiter)
{
    idem__wait_queue_add(&pool->queue, waiter);
    waiter->queued = true;
    while (!waiter->done) {
        idem__waiter_heed(waiter);
        if (work(pool, waiter) && (waiter->done || idem_monotonic_ms() < waiter->deadline_ms))
            continue;
        if (waiter->done)
            break;
        if (idem_monotonic_ms() < waiter->deadline_ms) {
            wait(pool, waiter);
            continue;
        }
        if (waiter->queued) {
            idem__pipeline_leave_queue(pool, waiter);
            return;
        }
        if (idem__pipeline_leave_connection(waiter->connection, waiter))
            return;
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    /* If another thread has its answers, that thread holds it until the sign. */
    while (!idem__waiter_is_done(waiter)) {
        idem__waiter_heed(waiter);
        (void)idem__waiter_wait(waiter, UINT64_MAX, NULL);
    }
}
