/* SPDX-License-Identifier: MIT */
/* A caller whose deadline has come leaves: the queue, or the connection that has its operations. */
#include "pipeline.h"

static void fail_late(idem_op *op, bool sent)
{
    if (sent && op->kind != IDEM_OP_GET)
        idem_op_fail(op, false, IDEM_ERR_UNCERTAIN,
                     "the store did not answer by the deadline; the change may have been made");
    else
        idem_op_fail(op, false, IDEM_ERR_UNAVAILABLE,
                     sent ? "the store did not answer by the deadline"
                          : "the store was busy with other callers until the deadline; call again, "
                            "or set a longer timeout");
}

/* `io` and the lock are held. */
static void abandon(idem__connection *connection, idem__waiter *waiter)
{
    const idem_backend_ops *ops = connection->pool->ops;
    for (size_t i = 0; i < waiter->count; i++) {
        idem_op *op = waiter->ops[i];
        bool sent = i < waiter->sent;
        if (sent && !op->owner)
            continue; /* it was given back */
        if (sent) {
            ops->abandon(connection->backend, op);
            op->owner = NULL;
            connection->in_flight--;
        }
        fail_late(op, sent);
    }
}

/* Takes a waiter out of the connection that it waits on. The lock is held before, and open
   afterwards. @return false: it is done after all, and is about to be told */
bool idem__pipeline_leave_connection(idem__connection *connection, idem__waiter *waiter)
{
    idem__pool *pool = connection->pool;
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_lock(&connection->io);
    (void)pthread_mutex_lock(&pool->lock);
    bool leaves = !waiter->done;
    if (leaves) {
        abandon(connection, waiter);
        idem__pipeline_suspect(connection, waiter);
        idem__wait_queue_remove(&connection->waiters, waiter);
        idem__pipeline_leaves(connection, waiter, false);
        if (connection->receiver == waiter) {
            connection->receiver = NULL;
            connection->held_until_ns = 0;
        }
        idem__pipeline_pass_on(connection);
        if (connection->unsent && connection->waiters.last)
            idem__waiter_wake(connection->waiters.last); /* to send the rest */
        idem__pipeline_after_change(connection);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_unlock(&connection->io);
    return leaves;
}

void idem__pipeline_leave_queue(idem__pool *pool, idem__waiter *waiter)
{
    idem__wait_queue_remove(&pool->queue, waiter);
    waiter->queued = false;
    idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < waiter->count; i++)
        fail_late(waiter->ops[i], false);
}
