/* SPDX-License-Identifier: MIT */
/*
 * Carrying operations out on connections that send and receive apart. One thread at a time sends on
 * a connection, one at a time receives; both are threads of callers. A caller that has its own
 * answer hands the right to receive on to one that has not.
 *
 * A server on the same machine answers while the receiver still spins. So the connection is held
 * meanwhile: what comes gathers in the queue and goes out as one batch. Over a network the spin
 * ends first, or is not tried at all, and the next batch leaves at once. That adapts by itself.
 *
 * A caller whose deadline comes abandons its operations and leaves; the connection and everybody
 * else on it live on. A connection that has owed an answer for a part of a caller's time without a
 * single byte is given up, and the operations are repeated on another one.
 *
 * Locks: `io` of a connection, then the pool's. Whatever touches the instance holds `io`, or has a
 * connection without waiters as `busy`.
 */
#include "call.h"
#include "clock.h"
#include "error.h"
#include "pool.h"
#include "probe.h"

#include <errno.h>
#include <poll.h>

#define REST_MS       1000u /* before one that can't be had is tried again, beside others */
#define ALONE_MS      100u  /* silence for so long is enough where nobody else waits */
#define ROOM          64u   /* for what one `receive` gives back */
#define IN_FLIGHT_MAX 1024u /* ops on one connection */
#define SHARE         16u   /* with so many in flight another connection is opened, if allowed */

/* ------------------------------------------------------------------------ choosing a connection */

/* The lock is held for all of this part. */

static bool is_at_rest(const idem__connection *connection)
{
    return !connection->busy && connection->waiters.count == 0 && !connection->draining;
}

static bool may_send(const idem__connection *connection)
{
    return !connection->busy && !connection->draining && !connection->unsent &&
           connection->in_flight < IN_FLIGHT_MAX;
}

/* Its answer or its turn comes within microseconds. To go around it by another connection would
   make two small batches of one. */
static bool any_near(const idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        if (pool->connections[i].held || pool->connections[i].sending)
            return true;
    }
    return false;
}

/* An open connection with little in flight, else one to open, else the one with the least. One that
   could not be had is tried again after a while, unless there is no other. */
static idem__connection *to_send_on(idem__pool *pool)
{
    idem__connection *least = NULL;
    idem__connection *lost = NULL;
    if (pool->frozen || any_near(pool))
        return NULL;
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *one = &pool->connections[i];
        if (one->lost && is_at_rest(one) && (!lost || one->not_before_ms < lost->not_before_ms))
            lost = one;
        else if (!one->lost && may_send(one) && (!least || one->in_flight < least->in_flight))
            least = one;
    }
    if (!lost || (least && least->in_flight < SHARE))
        return least;
    return least && idem_monotonic_ms() < lost->not_before_ms ? least : lost;
}

bool idem__pipeline_can_send(idem__pool *pool)
{
    return to_send_on(pool) != NULL;
}

/* ---------------------------------------------------------------------------------- giving back */

/* Takes a waiter that has all its answers off its connection. The lock is held. */
static void take_off(idem__connection *connection, idem__waiter *waiter, idem__wait_queue *done)
{
    idem__wait_queue_remove(&connection->waiters, waiter);
    waiter->connection = NULL;
    waiter->done = true;
    if (connection->receiver == waiter)
        connection->receiver = NULL;
    idem__wait_queue_add(done, waiter);
}

/* Ops that were given back belong to nobody any more. The lock is held. */
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

/* The connection is gone, and with it the place of those whose ops were not all sent. The lock is
   held. */
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

/* The next one that receives. It is woken although it may be on its way. The lock is held. */
static void pass_on(idem__connection *connection)
{
    if (connection->receiver || !connection->waiters.first)
        return;
    connection->receiver = connection->waiters.first;
    idem__waiter_wake(connection->receiver);
}

/* The lock is held. */
static void after_change(idem__connection *connection)
{
    idem__pool *pool = connection->pool;
    if (connection->waiters.count == 0) {
        connection->unsent = false;
        if (pool->frozen)
            (void)pthread_cond_broadcast(&pool->changed);
    }
    idem__pool_wake_head(pool);
}

/* `io` is held. */
static void note_progress(idem__connection *connection, idem_wants *wants)
{
    connection->pool->ops->wants(connection->backend, wants);
    if (wants->progress == connection->progress)
        return;
    connection->progress = wants->progress;
    connection->owed_ms = 0;
    atomic_store(&connection->heard_ms, idem_monotonic_ms());
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
        settle(connection, ops, count, &done);
        if (rc && count < ROOM)
            settle_unsent(connection, &error, &done);
        (void)pthread_mutex_unlock(&pool->lock);
        total += count + (rc != IDEM_OK);
        IDEM__PROBE3(trip_end, connection->backend, count, rc);
    } while (count == ROOM);
    if (total > 0) {
        idem_wants wants;
        note_progress(connection, &wants);
        (void)pthread_mutex_lock(&pool->lock);
        connection->held = false;
        connection->lost = connection->lost || rc != IDEM_OK;
        connection->unsent = rc == IDEM_OK && wants.write;
        pass_on(connection);
        after_change(connection);
        (void)pthread_mutex_unlock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&connection->io);
    idem__wait_queue_finish(&done);
    return total;
}

/* -------------------------------------------------------------------------------------- sending */

/* Moves waiters from the queue to the connection, up to a batch. The lock is held. */
static void assign(idem__connection *connection)
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
        count += waiter->count;
        idem__wait_queue_add(&connection->waiters, waiter);
    }
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

/* Ops that the instance did not take: nobody else can have answered them. The lock is held. */
static void take_back(idem__connection *connection, idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((idem__waiter *)ops[i]->owner)->sent--;
    connection->in_flight -= count;
}

/* Sends what is assigned, as far as the instance takes it, and what was left of earlier bytes. The
   lock is open. @param waiter  as for take_in(); NULL: the connection is busy by this thread */
static void send_assigned(idem__connection *connection, const idem__waiter *waiter)
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
    note_progress(connection, &wants);
    (void)pthread_mutex_lock(&pool->lock);
    take_back(connection, ops + taken, count - taken);
    connection->unsent = wants.write;
    if (!wants.write)
        idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_unlock(&connection->io);
}

/* Ends the connection of an instance that has nothing in flight but what was abandoned. `io` is
   held, or the connection is busy and nobody waits on it. */
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

/* Opens the connection, or makes sure that it stands. It is busy, nobody waits on it, the lock is
   open. @param deadline_ms  0: only looks whether it stands */
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

/* Waits for the thread that gave the last answer back and is still inside, and gives up a
   connection that owes answers. The lock is open. */
static void settle_down(idem__connection *connection)
{
    if (connection->crowded)
        idem__spin_pause(); /* those that were just told come back: they are let in first */
    (void)pthread_mutex_lock(&connection->io);
    if (connection->owed_ms > 0 &&
        idem_monotonic_ms() >= connection->owed_ms + idem__call_silence_ms(0))
        idem__pipeline_quiesce(connection);
    (void)pthread_mutex_unlock(&connection->io);
}

/* True if others can be served by another connection. The lock is held. */
static bool has_another(const idem__connection *connection)
{
    const idem__pool *pool = connection->pool;
    for (size_t i = 0; i < pool->max; i++) {
        const idem__connection *one = &pool->connections[i];
        if (one != connection && one->backend && !one->lost)
            return true;
    }
    return false;
}

/* What kept the connection from being made fails all that wait for it; that this caller had no more
   time, this caller alone; and nobody, if there is another connection. The lock is held before and
   after. */
static void fail_waiting(idem__connection *connection, idem__waiter *leader, int rc,
                         const idem_error *why)
{
    idem__pool *pool = connection->pool;
    idem__wait_queue done = {NULL, NULL, 0};
    uint64_t now = idem_monotonic_ms();
    bool late = now + 1 >= leader->deadline_ms;
    connection->not_before_ms = now + REST_MS;
    if (!late && has_another(connection))
        return;
    for (idem__waiter *waiter = pool->queue.first, *next; waiter; waiter = next) {
        next = waiter->next;
        if (late && waiter != leader)
            continue;
        idem__wait_queue_remove(&pool->queue, waiter);
        waiter->queued = false;
        waiter->done = true;
        idem__pool_fail(waiter->ops, waiter->count, rc, why->message);
        idem__wait_queue_add(&done, waiter);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    idem__wait_queue_finish(&done);
    (void)pthread_mutex_lock(&pool->lock);
}

/* The connection is busy, and nobody waits on it. While one is made that was lost, the others are
   used. The lock is held before and after. @return false: it can't be had */
static bool prepare(idem__connection *connection, idem__waiter *leader)
{
    idem__pool *pool = connection->pool;
    idem_error error = {0};
    connection->sending = !connection->lost;
    (void)pthread_mutex_unlock(&pool->lock);
    settle_down(connection);
    int rc = connection->lost ? IDEM_ERR_UNAVAILABLE : make_ready(connection, 0, NULL);
    (void)pthread_mutex_lock(&pool->lock);
    if (rc) {
        connection->sending = false;
        connection->lost = true;
        idem__pool_wake_head(pool);
        (void)pthread_mutex_unlock(&pool->lock);
        rc = make_ready(connection, leader->deadline_ms, &error);
        (void)pthread_mutex_lock(&pool->lock);
    }
    connection->lost = rc != IDEM_OK;
    if (rc)
        fail_waiting(connection, leader, rc, &error);
    return rc == IDEM_OK;
}

/* Sends as the one thread that does, on a connection that is free for it. The lock is held before
   and after. */
static void send_batch(idem__connection *connection, idem__waiter *leader)
{
    idem__pool *pool = connection->pool;
    bool first = connection->waiters.count == 0;
    connection->busy = true;
    if (first && !prepare(connection, leader)) {
        connection->sending = false;
        idem__pool_release(connection);
        return;
    }
    connection->sending = true;
    assign(connection);
    connection->crowded = connection->waiters.count > 1;
    if (!connection->receiver && leader->connection == connection)
        connection->receiver = leader;
    connection->spin = (idem__spin){.failed_spins = atomic_load(&connection->failed_spins)};
    connection->held =
        first && connection->receiver == leader && idem__spin_begin(&connection->spin);
    atomic_store(&connection->failed_spins, connection->spin.failed_spins);
    (void)pthread_mutex_unlock(&pool->lock);
    send_assigned(connection, NULL);
    (void)pthread_mutex_lock(&pool->lock);
    connection->busy = false;
    connection->sending = false;
    pass_on(connection);
    after_change(connection);
}

/* ------------------------------------------------------------------------------------- waiting */

/* When a waiter takes the connection for dead, unless something comes. */
static uint64_t silent_at(const idem__connection *connection, const idem__waiter *waiter)
{
    uint64_t timeout_ms = waiter->deadline_ms - waiter->start_ms;
    uint64_t heard_ms = atomic_load(&connection->heard_ms);
    uint64_t since = heard_ms > waiter->sent_ms ? heard_ms : waiter->sent_ms;
    return since + idem__call_silence_ms(timeout_ms);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Gives the connection up if it has owed answers for too long. The lock is open. */
static void drop_if_silent(idem__connection *connection, const idem__waiter *waiter)
{
    idem_wants wants = {.in_flight = 0};
    (void)pthread_mutex_lock(&connection->io);
    if (!waiter->done)
        note_progress(connection, &wants);
    if (wants.in_flight > 0 && idem_monotonic_ms() >= silent_at(connection, waiter))
        connection->pool->ops->drop(connection->backend);
    (void)pthread_mutex_unlock(&connection->io);
}

/* Sleeps until the instance has something to do, or a point in time.
   @param to_send  only until it can send */
static void poll_until(idem__connection *connection, const idem__waiter *waiter, bool to_send)
{
    idem_wants wants = {.fd = -1};
    uint64_t until_ms = earlier(waiter->deadline_ms, silent_at(connection, waiter));
    (void)pthread_mutex_lock(&connection->io);
    if (!waiter->done)
        note_progress(connection, &wants);
    (void)pthread_mutex_unlock(&connection->io);
    if (wants.fd < 0 || (wants.at_once && !to_send))
        return;
    int events = (wants.read && !to_send ? POLLIN : 0) | (wants.write ? POLLOUT : 0);
    struct pollfd one = {.fd = wants.fd, .events = (short)events};
    uint64_t now = idem_monotonic_ms();
    uint64_t left = until_ms > now ? until_ms - now : 0;
    if (events)
        (void)poll(&one, 1, left > 60000 ? 60000 : (int)left);
}

static void spin_for_answer(idem__connection *connection, const idem__waiter *waiter,
                            idem__spin spin)
{
    idem__pool *pool = connection->pool;
    size_t came = take_in(connection, waiter);
    while (came == 0 && !waiter->done && idem__spin_yield(&spin))
        came = take_in(connection, waiter);
    idem__spin_end(&spin);
    atomic_store(&connection->failed_spins, spin.failed_spins);
    if (came > 0)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    connection->held = false;
    idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
}

/* Waits for something on the connection, and takes it in. The lock is open. */
static void receive_once(idem__connection *connection, const idem__waiter *waiter)
{
    poll_until(connection, waiter, false);
    if (take_in(connection, waiter) == 0)
        drop_if_silent(connection, waiter);
}

static bool has_unsent_ops(const idem__connection *connection)
{
    const idem__waiter *last = connection->waiters.last;
    return last && last->sent < last->count;
}

/* Receives until the waiter is done or its deadline has come. This thread is the receiver of its
   connection. The lock is held before and after. */
static void receive(idem__connection *connection, idem__waiter *waiter)
{
    idem__pool *pool = connection->pool;
    if (connection->held) {
        idem__spin spin = connection->spin;
        (void)pthread_mutex_unlock(&pool->lock);
        spin_for_answer(connection, waiter, spin);
        (void)pthread_mutex_lock(&pool->lock);
    }
    while (!waiter->done) {
        bool more = has_unsent_ops(connection);
        (void)pthread_mutex_unlock(&pool->lock);
        if (more)
            send_assigned(connection, waiter);
        receive_once(connection, waiter);
        (void)pthread_mutex_lock(&pool->lock);
        if (!waiter->done && idem_monotonic_ms() >= waiter->deadline_ms)
            return;
    }
}

/* ---------------------------------------------------------------------- leaving at the deadline */

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

/* A connection that has answered nobody since this one was sent may be dead, even if no caller has
   the time to wait for it. One that nobody else waits on is not used again: the next caller shall
   not pay for it. `io` and the lock are held. */
static void suspect(idem__connection *connection, const idem__waiter *waiter)
{
    uint64_t now = idem_monotonic_ms();
    bool only = connection->waiters.count == 1;
    if (waiter->sent == 0 || atomic_load(&connection->heard_ms) > waiter->sent_ms)
        return;
    if (connection->owed_ms == 0)
        connection->owed_ms = waiter->sent_ms;
    if (now >= connection->owed_ms + idem__call_silence_ms(0) ||
        (only && now >= waiter->sent_ms + ALONE_MS))
        connection->pool->ops->drop(connection->backend);
}

/* Takes a waiter out of the connection that it waits on. The lock is held before, and open
   afterwards. @return false: it is done after all, and is about to be told */
static bool leave_connection(idem__connection *connection, idem__waiter *waiter)
{
    idem__pool *pool = connection->pool;
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_lock(&connection->io);
    (void)pthread_mutex_lock(&pool->lock);
    bool leaves = !waiter->done;
    if (leaves) {
        abandon(connection, waiter);
        suspect(connection, waiter);
        idem__wait_queue_remove(&connection->waiters, waiter);
        if (connection->receiver == waiter) {
            connection->receiver = NULL;
            connection->held = false;
        }
        pass_on(connection);
        if (connection->unsent && connection->waiters.last)
            idem__waiter_wake(connection->waiters.last); /* to send the rest */
        after_change(connection);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_mutex_unlock(&connection->io);
    return leaves;
}

static void leave_queue(idem__pool *pool, idem__waiter *waiter)
{
    idem__wait_queue_remove(&pool->queue, waiter);
    waiter->queued = false;
    idem__pool_wake_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < waiter->count; i++)
        fail_late(waiter->ops[i], false);
}

/* ------------------------------------------------------------------------------- a waiter's way */

/* Does what there is to do for a waiter: sends, receives, or sends the rest. The lock is held
   before and after. @return false: it has to wait for other threads */
static bool work(idem__pool *pool, idem__waiter *waiter)
{
    idem__connection *connection = waiter->connection;
    if (waiter->queued) {
        connection = to_send_on(pool);
        if (connection)
            send_batch(connection, waiter);
        return connection != NULL;
    }
    if (!connection->receiver)
        connection->receiver = waiter;
    if (connection->receiver == waiter) {
        receive(connection, waiter);
        return true;
    }
    if (!connection->unsent || connection->busy)
        return false;
    /* Not to receive: the answer may be that of the receiver, which sleeps in poll(). */
    (void)pthread_mutex_unlock(&pool->lock);
    poll_until(connection, waiter, true);
    send_assigned(connection, waiter);
    drop_if_silent(connection, waiter);
    (void)pthread_mutex_lock(&pool->lock);
    return true;
}

/* Parks, or spins, until it is woken or told; a waiter whose connection stays silent gives it up.
   The lock is held before and after. */
static void wait(idem__pool *pool, idem__waiter *waiter)
{
    idem__connection *connection = waiter->connection;
    uint64_t silent_ms = connection ? silent_at(connection, waiter) : UINT64_MAX;
    uint64_t until_ms = earlier(waiter->deadline_ms, silent_ms);
    atomic_uint *spins = any_near(pool) ? &pool->failed_spins : NULL;
    (void)pthread_mutex_unlock(&pool->lock);
    bool came = idem__waiter_wait(waiter, until_ms, spins);
    if (!came && connection && idem_monotonic_ms() >= silent_ms)
        drop_if_silent(connection, waiter);
    (void)pthread_mutex_lock(&pool->lock);
}

/* Waits for the sign that is on its way: another thread holds the waiter until then. */
static void await_sign(idem__waiter *waiter)
{
    while (!idem__waiter_is_done(waiter)) {
        idem__waiter_heed(waiter);
        (void)idem__waiter_wait(waiter, UINT64_MAX, NULL);
    }
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
            leave_queue(pool, waiter);
            return;
        }
        if (leave_connection(waiter->connection, waiter))
            return;
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    await_sign(waiter);
}

/* ------------------------------------------------------------------------------------- alone */

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
