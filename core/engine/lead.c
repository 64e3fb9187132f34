/* SPDX-License-Identifier: MIT */
/*
 * Group commit, for backends that are entered by one thread at a time. A thread that finds a free
 * connection becomes its leader: it takes what fits into a batch from the queue, its own operations
 * first, carries the batch out without the lock, and tells the others. The scheme is that of
 * RocksDB's write thread.
 *
 * A batch ends at its earliest deadline. So a leader takes only waiters whose remaining time is
 * within a factor of SAME_CLASS of its own.
 */
#include "clock.h"
#include "error.h"
#include "pool.h"
#include "probe.h"

#define FEW        8u /* waiters */
#define SAME_CLASS 8u /* times in a batch differ by this factor at most */

typedef struct {
    idem_op *ops[IDEM_BATCH_MAX];
    size_t count;
    size_t callers;
    uint64_t deadline_ms; /* the earliest of theirs */
    idem__wait_queue waiters;
} batch;

static bool is_same_class(const idem__waiter *a, const idem__waiter *b, uint64_t now)
{
    uint64_t a_left = a->deadline_ms > now ? a->deadline_ms - now : 0;
    uint64_t b_left = b->deadline_ms > now ? b->deadline_ms - now : 0;
    return a_left / SAME_CLASS <= b_left && b_left / SAME_CLASS <= a_left;
}

/* A connection for the waiter's owner to lead, if it is its turn: that of the head, or of a waiter
   whose batch includes the head. The lock is held. */
static idem__connection *connection_for(idem__pool *pool, const idem__waiter *waiter)
{
    const idem__waiter *first = pool->queue.first;
    if (!waiter->queued)
        return NULL;
    if (first != waiter &&
        (waiter->alone || first->alone || waiter->count + first->count > IDEM_BATCH_MAX ||
         !is_same_class(first, waiter, idem_monotonic_ms())))
        return NULL;
    return idem__pool_free_connection(pool);
}

static void put_in(idem__pool *pool, batch *taken, idem__waiter *waiter)
{
    idem__wait_queue_remove(&pool->queue, waiter);
    waiter->queued = false;
    idem__wait_queue_add(&taken->waiters, waiter);
    for (size_t i = 0; i < waiter->count; i++)
        taken->ops[taken->count++] = waiter->ops[i];
    taken->callers++;
    if (waiter->deadline_ms < taken->deadline_ms)
        taken->deadline_ms = waiter->deadline_ms;
}

/* Takes the leader's operations and what else is of its class and fits, up to a waiter that wants a
   connection alone. Nothing if another leader has taken it meanwhile. The lock is held. */
static void take_batch(idem__pool *pool, idem__waiter *leader, batch *taken)
{
    uint64_t now = pool->queue.count > 1 ? idem_monotonic_ms() : 0;
    taken->count = 0;
    taken->callers = 0;
    taken->deadline_ms = UINT64_MAX;
    memset(&taken->waiters, 0, sizeof taken->waiters);
    if (!leader->queued)
        return;
    put_in(pool, taken, leader);
    for (idem__waiter *waiter = pool->queue.first, *next; waiter && !waiter->alone; waiter = next) {
        next = waiter->next;
        if (taken->count + waiter->count > IDEM_BATCH_MAX)
            break;
        if (is_same_class(leader, waiter, now))
            put_in(pool, taken, waiter);
    }
}

/* Carries a batch out on a connection that this thread has, without the lock. @return false: it is
   one for readers, and the backend can have none */
static bool run_batch(idem__connection *connection, const batch *taken)
{
    idem_error error;
    idem__error_clear(&error);
    int rc = IDEM_OK;
    if (!connection->backend)
        rc = idem__pool_open_connection(connection, taken->deadline_ms, &error);
    if (idem__pool_is_refusal(connection, rc))
        return false;
    if (rc == IDEM_OK) {
        IDEM__PROBE2(trip_start, connection->backend, taken->count);
        rc = connection->pool->ops->submit(connection->backend, taken->ops, taken->count,
                                           taken->deadline_ms, &error);
        IDEM__PROBE3(trip_end, connection->backend, taken->count, rc);
    }
    if (rc != IDEM_OK)
        idem__pool_fail(taken->ops, taken->count, rc,
                        error.code ? error.message
                                   : idem_strerror(idem__error_known(rc & ~IDEM_PERMANENT)));
    return true;
}

/* Leads one batch. If the last batch had several callers, the leader yields once: the callers that
   were just answered can then join. The lock is open before and after. */
static void lead(idem__connection *connection, idem__waiter *leader)
{
    idem__pool *pool = connection->pool;
    batch taken;
    bool done = true;
    if (connection->callers > 1 && pool->max == 1)
        idem__spin_pause();
    (void)pthread_mutex_lock(&pool->lock);
    take_batch(pool, leader, &taken);
    idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (taken.count > 0)
        done = run_batch(connection, &taken);
    (void)pthread_mutex_lock(&pool->lock);
    connection->callers = taken.callers;
    pool->refused = pool->refused || !done;
    for (idem__waiter *waiter = taken.waiters.first; waiter; waiter = waiter->next)
        waiter->refused = !done;
    idem__pool_release(connection);
    (void)pthread_mutex_unlock(&pool->lock);
    idem__wait_queue_finish(&taken.waiters);
}

/* Waits until this thread may lead; the connection is busy then. NULL: the waiter is done, or has
   left the queue at its deadline. The lock is held before, and open afterwards. */
static idem__connection *await_turn(idem__pool *pool, idem__waiter *waiter)
{
    bool in_time = true;
    for (;;) {
        idem__connection *connection = connection_for(pool, waiter);
        bool leaves = !connection && !in_time && waiter->queued;
        uint64_t until_ms = waiter->queued ? waiter->deadline_ms : UINT64_MAX;
        /* To spin before it parks pays where one connection serves at most FEW waiters. With more,
           most wakes are for nothing. */
        bool spins = pool->max == 1 && pool->queue.count <= FEW;
        idem__waiter_heed(waiter);
        if (connection)
            connection->busy = true;
        if (leaves) {
            idem__wait_queue_remove(&pool->queue, waiter);
            waiter->queued = false;
            idem__pool_wake_head(pool);
        }
        (void)pthread_mutex_unlock(&pool->lock);
        if (connection || leaves)
            return connection;
        in_time = idem__waiter_wait(waiter, until_ms, spins ? &pool->failed_spins : NULL);
        if (idem__waiter_is_done(waiter))
            return NULL;
        (void)pthread_mutex_lock(&pool->lock);
    }
}

void idem__lead_run(idem__pool *pool, idem__waiter *waiter)
{
    idem__connection *connection;
    idem__wait_queue_add(&pool->queue, waiter);
    waiter->queued = true;
    while ((connection = await_turn(pool, waiter)) != NULL) {
        lead(connection, waiter);
        if (idem__waiter_is_done(waiter))
            return;
        (void)pthread_mutex_lock(&pool->lock);
    }
    if (!idem__waiter_is_done(waiter))
        idem__pool_fail(waiter->ops, waiter->count, IDEM_ERR_UNAVAILABLE,
                        "the store was busy with other callers until the deadline; call again, or "
                        "set a longer timeout");
}

idem__connection *idem__lead_enter(idem__pool *pool, idem__waiter *waiter)
{
    idem__wait_queue_add(&pool->queue, waiter);
    waiter->queued = true;
    idem__connection *connection = await_turn(pool, waiter);
    if (!connection)
        return NULL;
    (void)pthread_mutex_lock(&pool->lock);
    idem__wait_queue_remove(&pool->queue, waiter);
    waiter->queued = false;
    idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    return connection;
}
