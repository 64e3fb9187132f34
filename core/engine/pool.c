/* SPDX-License-Identifier: MIT */
/*
 * The pool and the batching of callers.
 *
 * A thread that finds a free connection becomes its leader: it takes as many tickets from the queue's
 * head as fit into a batch, its own among them or not, carries them out with the lock open, and
 * answers all. Nobody waits past his deadline: a ticket that is still in the queue leaves it, and
 * a batch is given the earliest deadline of those in it; an operation that fails for another's
 * deadline is repeated by its own caller. So a ticket that was taken is always answered in time,
 * and may live on its caller's stack. No thread of these can be cancelled, or it would leave the
 * others behind.
 *
 * One lock guards it all but the tickets' own words; it is never held while a backend is at work,
 * nor while a batch is answered. `busy` of a connection is held in its place.
 *
 * Invariant, whenever the lock is open: if a connection is free and the queue is not empty, then its head
 * was called, or is looking. Whoever comes may be quicker and take the head along.
 */
#include "pool.h"

#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "inside.h"
#include "probe.h"
#include "spin.h"
#include "verify.h"

#define FEW 8u /* callers in the queue */

int idem__pool_init(idem__pool *pool, const idem_backend_ops *ops, const idem_config *config,
                     idem_role role, size_t max, idem_error *error)
{
    memset(pool, 0, sizeof *pool);
    pool->ops = ops;
    pool->config = *config;
    pool->config.role = role;
    atomic_init(&pool->concurrent, false);
    pool->max = max > IDEM__POOL_MAX ? IDEM__POOL_MAX : max;
    if ((ops->traits & IDEM_TRAIT_CONCURRENT) && pool->max > 1)
        pool->max = 1;
    idem__wait_queue_init(&pool->line);
    if (pthread_mutex_init(&pool->lock, NULL))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a mutex can't be made");
    if (idem__clock_cond_init(&pool->changed)) {
        (void)pthread_mutex_destroy(&pool->lock);
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a condition variable can't be made");
    }
    return IDEM_OK;
}

/* Opens a connection that the caller has made busy, or that nobody else knows yet.
   @return the code, with IDEM_PERMANENT if it is of no use to try again */
static int open_connection(idem__pool *pool, idem__connection *connection, uint64_t deadline_ms, idem_error *error)
{
    idem_backend *backend = NULL;
    connection->config = pool->config;
    connection->config.deadline_ms = deadline_ms;
    int rc = pool->ops->open(&connection->config, &backend, error);
    if (rc == IDEM_OK && !backend)
        rc = idem_error_set(error, IDEM_ERR_INTERNAL, "%s: open gave no instance",
                            pool->ops->scheme);
    if (rc == IDEM_OK) {
        connection->backend = backend;
        /* Up to here callers queue for it, those of a concurrent backend too. */
        atomic_store(&pool->concurrent, (pool->ops->traits & IDEM_TRAIT_CONCURRENT) != 0);
        return rc;
    }
    (void)idem_error_set(error, rc & ~IDEM_PERMANENT, "%s: %s", pool->ops->scheme,
                         idem_strerror(rc & ~IDEM_PERMANENT));
    return rc;
}

/* A connection to enter: an open one if there is one, else one to open. The lock is held. */
static idem__connection *free_connection(idem__pool *pool)
{
    idem__connection *closed = NULL;
    if (pool->frozen)
        return NULL;
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *connection = &pool->connections[i];
        if (!connection->busy && connection->backend)
            return connection;
        if (!connection->busy && !closed)
            closed = connection;
    }
    return closed;
}

/* Somebody has to look: a connection may be free. The lock is held. */
static void call_head(idem__pool *pool)
{
    if (pool->line.first && free_connection(pool))
        idem__waiter_call(pool->line.first);
}

/* Whoever opens the connection of a concurrent backend is alone on it until here. The lock is held. */
static void set_free(idem__pool *pool, idem__connection *connection)
{
    connection->busy = false;
    if (connection->backend && (pool->ops->traits & IDEM_TRAIT_CONCURRENT)) {
        pool->open_to_all.backend = connection->backend;
        atomic_store_explicit(&pool->concurrent, true, memory_order_release);
    }
    (void)pthread_cond_broadcast(&pool->changed);
    call_head(pool);
}

static void vacate(idem__pool *pool, idem__connection *connection)
{
    int cancel_state = connection->cancel_state;
    (void)pthread_mutex_lock(&pool->lock);
    set_free(pool, connection);
    (void)pthread_mutex_unlock(&pool->lock);
    idem__inside_leave();
    idem__cancel_restore(cancel_state);
}

/* Makes a connection busy, so that no fork() happens while it is opened or closed. */
static void occupy(idem__pool *pool, idem__connection *connection)
{
    int cancel_state = idem__cancel_hold();
    idem__inside_enter();
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->frozen || connection->busy)
        (void)pthread_cond_wait(&pool->changed, &pool->lock);
    connection->busy = true;
    connection->cancel_state = cancel_state;
    (void)pthread_mutex_unlock(&pool->lock);
}

int idem__pool_open(idem__pool *pool, uint64_t deadline_ms, idem_error *error)
{
    idem__connection *first = &pool->connections[0];
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error) | IDEM_PERMANENT;
    occupy(pool, first);
    int rc = open_connection(pool, first, deadline_ms, error);
    vacate(pool, first);
    return rc;
}

void idem__pool_close(idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *connection = &pool->connections[i];
        occupy(pool, connection);
        if (connection->backend)
            pool->ops->close(connection->backend);
        connection->backend = NULL;
        vacate(pool, connection);
    }
}

void idem__pool_destroy(idem__pool *pool)
{
    (void)pthread_cond_destroy(&pool->changed);
    (void)pthread_mutex_destroy(&pool->lock);
}

bool idem__pool_are_concurrent(const idem__pool *pool)
{
    return atomic_load_explicit(&pool->concurrent, memory_order_acquire);
}

bool idem__pool_idle(idem__pool *pool)
{
    if (idem__pool_are_concurrent(pool))
        return true;
    idem__inside_lock(&pool->lock);
    const idem__connection *connection = free_connection(pool);
    bool idle = connection && connection->backend && !pool->line.first;
    idem__inside_unlock(&pool->lock);
    return idle;
}

/* ---------------------------------------------------------------------------------- the queue */

/* A connection for the ticket's owner, if it is his turn. The lock is held. */
static idem__connection *connection_for(const idem__waiter *ticket, idem__pool *pool)
{
    bool first = pool->line.first == ticket;
    if (!ticket->queued || (!first && (ticket->alone || pool->line.first->alone)))
        return NULL;
    return free_connection(pool);
}

/* Whether who waits yields before he sleeps. His turn is near where one connection serves a few. In a
   crowd he would be called on again and again for nothing, and where there are several pool their
   leaders yield, whom he would keep from it. The lock is held. */
static bool is_near(const idem__pool *pool)
{
    return pool->max == 1 && pool->line.count <= FEW;
}

/* Waits until a connection may be entered, which is busy then. NULL: the ticket is answered, or has left
   the queue at its deadline. The lock is held before, and open afterwards. */
static idem__connection *await_turn(idem__pool *pool, idem__waiter *ticket)
{
    bool in_time = true;
    for (;;) {
        idem__connection *connection = connection_for(ticket, pool);
        bool leaves = !connection && !in_time && ticket->queued;
        uint64_t deadline_ms = ticket->queued ? ticket->deadline_ms : UINT64_MAX;
        atomic_uint *failed_spins = is_near(pool) ? &pool->failed_spins : NULL;
        idem__waiter_heed(ticket);
        if (connection)
            connection->busy = true;
        if (leaves) /* no connection is free, so nobody has to be called instead */
            idem__wait_queue_remove(&pool->line, ticket);
        (void)pthread_mutex_unlock(&pool->lock);
        if (connection || leaves)
            return connection;
        in_time = idem__waiter_wait(ticket, deadline_ms, failed_spins);
        if (idem__waiter_is_answered(ticket))
            return NULL;
        (void)pthread_mutex_lock(&pool->lock);
    }
}

/* --------------------------------------------------------------------------------- carrying out */

/* `code` may have IDEM_PERMANENT added. */
static void fail_unanswered(idem_op *const *ops, size_t count, int code, const char *message)
{
    int known = idem__error_known(code & ~IDEM_PERMANENT);
    for (size_t i = 0; i < count; i++) {
        if (!ops[i]->applied && !ops[i]->has_found)
            idem_op_fail(ops[i], (code & IDEM_PERMANENT) != 0, known, "%s", message);
    }
}

/* Inlined in spite of the probes, which a compiler takes for long. */
static inline IDEM__INLINED void submit_to(idem_backend *backend, const idem_backend_ops *ops, idem_op *const *batch_ops,
                      size_t count, uint64_t deadline_ms)
{
    idem_error error;
    idem__error_clear(&error);
    IDEM__PROBE2(trip_start, backend, count);
    int rc = ops->submit(backend, batch_ops, count, deadline_ms, &error);
    IDEM__PROBE3(trip_end, backend, count, rc);
    if (rc != IDEM_OK)
        fail_unanswered(batch_ops, count, rc,
                        error.code ? error.message
                                   : idem_strerror(idem__error_known(rc & ~IDEM_PERMANENT)));
}

/* Carries a batch out on a connection that was made busy; the lock is open. False if this is a connection for
   readers and the backend can have none. */
static bool carry_out(idem__pool *pool, idem__connection *connection, const idem__batch *taken)
{
    idem_error error;
    idem__error_clear(&error);
    int rc = IDEM_OK;
    if (!connection->backend)
        rc = open_connection(pool, connection, taken->deadline_ms, &error);
    if ((rc & ~IDEM_PERMANENT) == IDEM_ERR_UNSUPPORTED && pool->config.role == IDEM_ROLE_READER)
        return false;
    if (rc == IDEM_OK)
        submit_to(connection->backend, pool->ops, taken->ops, taken->count, taken->deadline_ms);
    else
        fail_unanswered(taken->ops, taken->count, rc, error.message);
    return true;
}

/* Leads one batch on a connection that was made busy, by the leader's own deadline too. Where one connection
   serves a crowd, those who were just answered are let in first: they are on their way with what
   they want next. With several pool another one takes them. The lock is open before and after. */
static void lead(idem__pool *pool, idem__connection *connection, uint64_t deadline_ms)
{
    idem__batch taken;
    bool carried_out = true;
    if (connection->crowded && pool->max == 1)
        idem__spin_pause();
    (void)pthread_mutex_lock(&pool->lock);
    idem__wait_queue_take(&pool->line, &taken);
    call_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (deadline_ms < taken.deadline_ms)
        taken.deadline_ms = deadline_ms;
    if (taken.count > 0)
        carried_out = carry_out(pool, connection, &taken);
    (void)pthread_mutex_lock(&pool->lock);
    connection->crowded = taken.callers > 1;
    pool->refused = pool->refused || !carried_out;
    set_free(pool, connection);
    (void)pthread_mutex_unlock(&pool->lock);
    idem__batch_answer(&taken, !carried_out);
}

/* False if there can be no pool of this role. */
static bool see_through(idem__pool *pool, idem__waiter *ticket)
{
    idem__connection *connection;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->refused) {
        (void)pthread_mutex_unlock(&pool->lock);
        return false;
    }
    idem__wait_queue_add(&pool->line, ticket);
    while ((connection = await_turn(pool, ticket)) != NULL) {
        lead(pool, connection, ticket->deadline_ms);
        if (idem__waiter_is_answered(ticket))
            return !ticket->refused;
        (void)pthread_mutex_lock(&pool->lock);
    }
    if (!idem__waiter_is_answered(ticket))
        fail_unanswered(ticket->ops, ticket->count, IDEM_ERR_UNAVAILABLE,
                        "the store was busy with other callers until the deadline; call again, or "
                        "set a longer timeout");
    return !ticket->refused;
}

/* As a ticket in the queue. False if there can be no pool of this role. */
static bool submit_queued(idem__pool *pool, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms)
{
    idem__waiter ticket;
    int rc = idem__waiter_init(&ticket, ops, count, deadline_ms);
    if (rc) {
        fail_unanswered(ops, count, rc, "there is no memory for waiting");
        return true;
    }
    int cancel_state = idem__cancel_hold();
    bool refused = !see_through(pool, &ticket);
    idem__cancel_restore(cancel_state);
    idem__waiter_destroy(&ticket);
    return !refused;
}

bool idem__pool_submit(idem__pool *pool, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    bool there = true;
    if (pool->max == 0)
        return false;
    if (idem__inside_is_orphan()) {
        idem_error error = {0};
        int rc = idem__inside_refuse(&error);
        fail_unanswered(ops, count, rc | IDEM_PERMANENT, error.message);
        return true;
    }
    idem__inside_enter();
    if (idem__pool_are_concurrent(pool))
        submit_to(pool->open_to_all.backend, pool->ops, ops, count, deadline_ms);
    else
        there = submit_queued(pool, ops, count, deadline_ms);
    idem__inside_leave();
    if (!there)
        return false;
    /* By each caller for its own: no leader looks at the bytes of others. */
    idem__verify_found(ops, count, !(pool->ops->traits & IDEM_BACKEND_IN_PROCESS));
    return true;
}

/* ----------------------------------------------------------------------------- alone on a connection */

/* Waits for a connection. NULL: none was free by the deadline. */
static idem__connection *occupy_any(idem__pool *pool, idem__waiter *ticket)
{
    (void)pthread_mutex_lock(&pool->lock);
    idem__wait_queue_add(&pool->line, ticket);
    idem__connection *connection = await_turn(pool, ticket);
    if (!connection)
        return NULL;
    (void)pthread_mutex_lock(&pool->lock);
    idem__wait_queue_remove(&pool->line, ticket);
    call_head(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    return connection;
}

int idem__pool_enter(idem__pool *pool, uint64_t deadline_ms, idem__connection **connection,
                      idem_error *error)
{
    idem__waiter ticket;
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error) | IDEM_PERMANENT;
    if (idem__pool_are_concurrent(pool)) {
        idem__inside_enter();
        *connection = &pool->open_to_all;
        return IDEM_OK;
    }
    if (idem__waiter_init(&ticket, NULL, 0, deadline_ms))
        return idem__error_no_memory(error);
    ticket.alone = true;
    int cancel_state = idem__cancel_hold();
    idem__inside_enter();
    idem__connection *mine = occupy_any(pool, &ticket);
    idem__waiter_destroy(&ticket);
    if (!mine) {
        idem__inside_leave();
        idem__cancel_restore(cancel_state);
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "the store was busy with other callers until the deadline");
    }
    mine->cancel_state = cancel_state;
    int rc = mine->backend ? IDEM_OK : open_connection(pool, mine, deadline_ms, error);
    if (rc)
        vacate(pool, mine);
    else
        *connection = mine;
    return rc;
}

void idem__pool_leave(idem__pool *pool, idem__connection *connection)
{
    if (connection != &pool->open_to_all)
        vacate(pool, connection);
    else
        idem__inside_leave();
}

/* ----------------------------------------------------------------------------------- looking at */

/* Whoever opens or closes a connection has made it busy, and writes its backend without the lock. */
void idem__pool_usage(idem__pool *pool, idem__pool_count *count)
{
    idem__inside_lock(&pool->lock);
    for (size_t i = 0; i < pool->max; i++) {
        const idem__connection *connection = &pool->connections[i];
        count->busy += connection->busy;
        count->open += connection->busy || connection->backend;
    }
    count->max += pool->max;
    count->waiters += pool->line.count;
    idem__inside_unlock(&pool->lock);
}

/* --------------------------------------------------------------------------------------- fork */

static bool any_busy(const idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        if (pool->connections[i].busy)
            return true;
    }
    return false;
}

static void tell_backends(idem__pool *pool, idem_fork_phase phase)
{
    for (size_t i = 0; pool->ops->at_fork && i < pool->max; i++) {
        if (pool->connections[i].backend)
            pool->ops->at_fork(pool->connections[i].backend, phase);
    }
}

void idem__pool_fork(idem__pool *pool, idem_fork_phase phase)
{
    if (phase == IDEM_FORK_PREPARE) {
        (void)pthread_mutex_lock(&pool->lock);
        pool->frozen = true;
        while (any_busy(pool))
            (void)pthread_cond_wait(&pool->changed, &pool->lock);
        tell_backends(pool, phase);
        return; /* the lock stays held across the fork */
    }
    tell_backends(pool, phase);
    pool->frozen = false;
    if (phase == IDEM_FORK_CHILD) {
        /* Those who waited in the queue are threads of the parent. */
        idem__wait_queue_init(&pool->line);
        (void)idem__clock_cond_init(&pool->changed);
    } else {
        (void)pthread_cond_broadcast(&pool->changed);
        call_head(pool);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}
