/* SPDX-License-Identifier: MIT */
/*
 * A thread that is alone on a connection: for a scan, a purge, a check. If every connection has
 * callers, nothing new is sent on the one with the fewest until these have their answers.
 */
#include "pipeline.h"

/* Ends the connection of an instance that has nothing in flight but what was abandoned. `io` is
   held, or the connection is busy and has no waiters. */
void idem__pipeline_quiesce(idem__connection *connection)
{
    const idem_backend_ops *ops = connection->pool->ops;
    idem_op *given[1];
    size_t count;
    idem_wants wants;
    idem_error error = {0};
    connection->owed_ms = 0;
    if (!connection->backend)
        return;
    ops->wants(connection->backend, &wants);
    if (wants.in_flight == 0)
        return;
    ops->drop(connection->backend);
    (void)ops->receive(connection->backend, given, 1, &count, &error);
}

/* A connection without waiters, or NULL; then the one with the fewest is emptied. */
static idem__connection *to_be_alone_on(idem__pool *pool)
{
    idem__connection *fewest = NULL;
    idem__connection *free_one = idem__pool_free_connection(pool);
    if (free_one || pool->frozen)
        return free_one;
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *one = &pool->connections[i];
        if (one->draining)
            return NULL;
        if (one->backend && (!fewest || one->waiters.count < fewest->waiters.count))
            fewest = one;
    }
    if (fewest)
        fewest->draining = true;
    return NULL;
}

static void stop_draining(idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++)
        pool->connections[i].draining = false;
}

idem__connection *idem__pipeline_enter(idem__pool *pool, idem__waiter *waiter)
{
    idem__connection *connection = NULL;
    idem__wait_queue_add(&pool->alone, waiter);
    for (;;) {
        idem__waiter_heed(waiter);
        if (pool->alone.first == waiter)
            connection = to_be_alone_on(pool);
        if (connection || idem_monotonic_ms() >= waiter->deadline_ms)
            break;
        (void)pthread_mutex_unlock(&pool->lock);
        (void)idem__waiter_wait(waiter, waiter->deadline_ms, NULL);
        (void)pthread_mutex_lock(&pool->lock);
    }
    idem__wait_queue_remove(&pool->alone, waiter);
    stop_draining(pool);
    if (pool->alone.first)
        idem__waiter_wake(pool->alone.first); /* it is its turn to have one emptied */
    if (connection)
        connection->busy = true;
    idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (connection) {
        (void)pthread_mutex_lock(&connection->io);
        idem__pipeline_quiesce(connection);
        (void)pthread_mutex_unlock(&connection->io);
    }
    return connection;
}
