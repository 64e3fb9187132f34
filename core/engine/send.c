/* SPDX-License-Identifier: MIT */
/*
 * Sending on connections that send and receive apart: which connection a batch goes out on, which
 * callers belong to it, and what there is to do before, if the connection is new or was lost.
 */
#include "pipeline.h"

#include "call.h"
#include "clock.h"
#include "error.h"
#include "probe.h"

#define REST_MS       1000u /* before one that can't be had is tried again, beside others */
#define BESIDE_MS     100u  /* for one that a caller could do without */
#define IN_FLIGHT_MAX 1024u /* ops on one connection */
#define SHARE         16u   /* with so many in flight another connection is opened, if allowed */

/* ------------------------------------------------------------------------ choosing a connection */

/* The lock is held for all of this part. */

static bool is_at_rest(const idem__connection *connection)
{
    return !connection->busy && connection->waiters.count == 0 && !connection->draining;
}

static bool is_about_to(const idem__connection *connection)
{
    return connection->sending ||
           (connection->held_until_ns > 0 && idem__clock_ns() < connection->held_until_ns);
}

bool idem__pipeline_any_near(const idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        if (is_about_to(&pool->connections[i]))
            return true;
    }
    return false;
}

bool idem__pipeline_any_held(const idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        if (pool->connections[i].held_until_ns > 0)
            return true;
    }
    return false;
}

/* True if there are no more callers than connections: to a near server each goes by one of its own
   then. Those that have just been told are on their way back, and count. */
static bool are_few(const idem__pool *pool)
{
    size_t callers = pool->queue.count;
    for (size_t i = 0; i < pool->max; i++) {
        const idem__connection *one = &pool->connections[i];
        callers += one->waiters.count;
        if (is_about_to(one) && one->callers > pool->max)
            return false;
    }
    return callers <= pool->max;
}

/* A connection without waiters, to use beside those whose answer is near. NULL: there is none. */
static idem__connection *beside(idem__pool *pool)
{
    idem__connection *lost = NULL;
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *one = &pool->connections[i];
        if (!is_at_rest(one))
            continue;
        if (!one->lost)
            return one;
        if (!lost && idem_monotonic_ms() >= one->not_before_ms)
            lost = one;
    }
    return lost;
}

/* Its instance has not taken all that is assigned, which `in_flight` does not count: more would
   pile up behind that while others are free. Its receiver sends the rest. */
static bool is_behind(const idem__connection *connection)
{
    const idem__waiter *last = connection->waiters.last;
    return last && last->sent < last->count;
}

/* Chooses an open connection with few ops in flight, else one to open, else the open one with the
   fewest. A connection that could not be had is tried again after a while, unless there is no
   other. Where an answer comes within microseconds, a crowd waits for it: waiting makes one batch
   of two. */
idem__connection *idem__pipeline_to_send_on(idem__pool *pool)
{
    idem__connection *least = NULL;
    idem__connection *lost = NULL;
    if (pool->frozen)
        return NULL;
    if (idem__pipeline_any_near(pool))
        return are_few(pool) ? beside(pool) : NULL;
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *one = &pool->connections[i];
        bool takes_ops = !one->lost && !one->busy && !one->draining && !one->unsent &&
                         !is_behind(one) && one->in_flight < IN_FLIGHT_MAX;
        if (one->lost && is_at_rest(one) && (!lost || one->not_before_ms < lost->not_before_ms))
            lost = one;
        else if (takes_ops && (!least || one->in_flight < least->in_flight))
            least = one;
    }
    if (!lost || (least && least->in_flight < SHARE))
        return least;
    return least && idem_monotonic_ms() < lost->not_before_ms ? least : lost;
}

bool idem__pipeline_can_send(idem__pool *pool)
{
    return idem__pipeline_to_send_on(pool) != NULL;
}

/* -------------------------------------------------------------------------------------- sending */

/* Moves waiters from the queue to the connection, up to a batch. The lock is held.
   @return how many ops they have */
static size_t assign(idem__connection *connection)
{
    idem__wait_queue *queue = &connection->pool->queue;
    uint64_t now = idem_monotonic_ms();
    size_t count = 0;
    while (queue->first && count + queue->first->count <= IDEM_BATCH_MAX) {
        idem__waiter *waiter = queue->first;
        idem__wait_queue_remove(queue, waiter);
        waiter->queued = false;
        waiter->connection = connection;
        waiter->sent_ms = now;
        waiter->gave_up = false;
        if (waiter->deadline_ms - waiter->start_ms < atomic_load(&connection->least_ms))
            atomic_store(&connection->least_ms, waiter->deadline_ms - waiter->start_ms);
        count += waiter->count;
        idem__wait_queue_add(&connection->waiters, waiter);
    }
    return count;
}

/* What is to be sent now, marked as sent. The lock is held. */
static size_t collect(idem__connection *connection, idem_op *ops[IDEM_BATCH_MAX])
{
    size_t count = 0;
    idem__waiter *waiter = connection->waiters.last;
    while (waiter && waiter->previous && waiter->previous->sent < waiter->previous->count)
        waiter = waiter->previous;
    for (; waiter; waiter = waiter->next) {
        while (waiter->sent < waiter->count && count < IDEM_BATCH_MAX) {
            idem_op *op = waiter->ops[waiter->sent++];
            op->owner = waiter;
            op->deadline_ms = waiter->deadline_ms;
            ops[count++] = op;
        }
    }
    connection->in_flight += count;
    return count;
}

/* Sends what is assigned, as far as the instance takes it, and what was left of earlier bytes. The
   lock is open. @param waiter  as for take_in(); NULL: the connection is busy by this thread */
void idem__pipeline_send_assigned(idem__connection *connection, const idem__waiter *waiter)
{
    idem__pool *pool = connection->pool;
    idem_op *ops[IDEM_BATCH_MAX];
    idem_wants wants;
    (void)pthread_mutex_lock(&connection->io);
    if (waiter && waiter->done) {
        (void)pthread_mutex_unlock(&connection->io);
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    size_t count = collect(connection, ops);
    (void)pthread_mutex_unlock(&pool->lock);
    size_t taken = pool->ops->send(connection->backend, ops, count);
    IDEM__PROBE2(trip_start, connection->backend, taken);
    idem__pipeline_note_progress(connection, &wants);
    (void)pthread_mutex_lock(&pool->lock);
    connection->in_flight -= count - taken;
    for (size_t i = taken; i < count; i++) /* no other thread can have answered these */
        ((idem__waiter *)ops[i]->owner)->sent--;
    connection->unsent = wants.write;
    if (!wants.write)
        idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_unlock(&connection->io);
}

/* ----------------------------------------------------------------------- before a batch is sent */

/* Opens the connection, or checks that it is still open. It is busy and has no waiters. The lock is
   open. @param deadline_ms  0: only checks */
static int make_ready(idem__connection *connection, uint64_t deadline_ms, idem_error *error)
{
    const idem_backend_ops *ops = connection->pool->ops;
    if (!connection->backend)
        return deadline_ms ? idem__pool_open_connection(connection, deadline_ms, error)
                           : IDEM_ERR_UNAVAILABLE;
    int rc = ops->connect(connection->backend, deadline_ms, error);
    if (rc)
        (void)idem_error_set(error, rc & ~IDEM_PERMANENT, "%s",
                             idem_strerror(idem__error_known(rc & ~IDEM_PERMANENT)));
    return rc;
}

/* One by which others can be served. The lock is held. @return NULL: there is none */
static const idem__connection *another_one(const idem__connection *connection)
{
    const idem__pool *pool = connection->pool;
    for (size_t i = 0; i < pool->max; i++) {
        const idem__connection *one = &pool->connections[i];
        if (one != connection && one->backend && !one->lost)
            return one;
    }
    return NULL;
}

/* What kept the connection from being made fails all that wait for it; that this caller had no more
   time, this caller alone; and nobody, if there is another connection. Where there can be none for
   readers, all go to the writers instead. The lock is held before and after. */
static void fail_waiting(idem__connection *connection, idem__waiter *leader, int rc,
                         const idem_error *why)
{
    idem__pool *pool = connection->pool;
    idem__wait_queue done = {NULL, NULL, 0};
    uint64_t now = idem_monotonic_ms();
    bool refused = idem__pool_is_refusal(connection, rc);
    bool late = now + 1 >= leader->deadline_ms && !refused;
    connection->not_before_ms = now + REST_MS;
    if (!late && another_one(connection))
        return;
    pool->refused = pool->refused || refused;
    for (idem__waiter *waiter = pool->queue.first, *next; waiter; waiter = next) {
        next = waiter->next;
        if (late && waiter != leader)
            continue;
        idem__wait_queue_remove(&pool->queue, waiter);
        waiter->queued = false;
        waiter->done = true;
        waiter->refused = refused;
        if (!refused)
            idem__pool_fail(waiter->ops, waiter->count, rc, why->message);
        idem__wait_queue_add(&done, waiter);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    idem__wait_queue_finish(&done);
    (void)pthread_mutex_lock(&pool->lock);
}

/* By when one is to be made. A caller that could also use another one does not wait long for one of
   its own: to a near server it is made at once, or not at all. The lock is held. */
static uint64_t ready_by(const idem__connection *connection, const idem__waiter *leader)
{
    const idem__connection *another = another_one(connection);
    uint64_t soon_ms = idem_monotonic_ms() + BESIDE_MS;
    return another && another->far_answers < IDEM__FAR && soon_ms < leader->deadline_ms
               ? soon_ms
               : leader->deadline_ms;
}

/* The connection is busy and has no waiters. While a lost one is made anew, callers use the others.
   The lock is held before and after. @return false: there is no connection */
static bool prepare(idem__connection *connection, idem__waiter *leader)
{
    idem__pool *pool = connection->pool;
    idem_error error = {0};
    connection->sending = !connection->lost;
    (void)pthread_mutex_unlock(&pool->lock);
    /* The thread that gave the last answer back may still be inside. One that owes answers is given
       up. */
    (void)pthread_mutex_lock(&connection->io);
    if (connection->owed_ms > 0 &&
        idem_monotonic_ms() >= connection->owed_ms + idem__call_silence_ms(0))
        idem__pipeline_quiesce(connection);
    (void)pthread_mutex_unlock(&connection->io);
    int rc = connection->lost ? IDEM_ERR_UNAVAILABLE : make_ready(connection, 0, NULL);
    (void)pthread_mutex_lock(&pool->lock);
    if (rc) {
        connection->sending = false;
        connection->lost = true;
        idem__pool_wake_head(pool);
        uint64_t by_ms = ready_by(connection, leader);
        (void)pthread_mutex_unlock(&pool->lock);
        rc = make_ready(connection, by_ms, &error);
        (void)pthread_mutex_lock(&pool->lock);
    }
    connection->lost = rc != IDEM_OK;
    if (rc)
        fail_waiting(connection, leader, rc, &error);
    return rc == IDEM_OK;
}

/* Sends as the one thread that does, on a connection that is free for it. The lock is held before
   and after. */
void idem__pipeline_send(idem__connection *connection, idem__waiter *leader)
{
    idem__pool *pool = connection->pool;
    connection->busy = true;
    bool ready = connection->waiters.count > 0 || prepare(connection, leader);
    if (ready && connection->callers > 1) {
        /* Lets those that were just told come back with what they want next. */
        connection->sending = true;
        (void)pthread_mutex_unlock(&pool->lock);
        idem__spin_pause();
        (void)pthread_mutex_lock(&pool->lock);
        ready = !connection->lost;
    }
    if (!ready) {
        connection->sending = false;
        idem__pool_release(connection);
        return;
    }
    connection->sending = true;
    size_t before = connection->waiters.count;
    size_t ops = assign(connection);
    if (!connection->receiver && leader->connection == connection)
        connection->receiver = leader;
    if (ops > 0) { /* another connection may have taken them meanwhile */
        connection->callers = connection->waiters.count - before;
        idem__pipeline_sending(connection, leader, connection->in_flight + ops);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    idem__pipeline_send_assigned(connection, NULL);
    (void)pthread_mutex_lock(&pool->lock);
    connection->busy = false;
    connection->sending = false;
    idem__pipeline_pass_on(connection);
    idem__pipeline_after_change(connection);
}
