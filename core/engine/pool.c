/* SPDX-License-Identifier: MIT */
/*
 * The connections of a store and the queue before them. How a batch is carried out is in lead.c for
 * a backend that is entered by one thread at a time, and in pipeline.h for one that sends and
 * receives apart. A concurrent backend is called directly.
 *
 * One lock guards it all but the waiters' own words. It is not held while waiters are told, nor
 * while a backend is at work, but for `abandon` and `drop`, which only note something. `busy` of a
 * connection is held in its place.
 *
 * No call returns after its deadline: a waiter leaves wherever it is. No thread in here can be
 * cancelled: its stack holds what others work on.
 *
 * Invariant, whenever the lock is open: if a connection can be used and the queue is not empty, the
 * head was woken or is running. A new caller may get the connection first; its batch then includes
 * the head.
 */
#include "pool.h"

#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "inside.h"
#include "pipeline.h"
#include "probe.h"
#include "verify.h"

int idem__pool_init(idem__pool *pool, const idem_backend_ops *ops, const idem_config *config,
                    idem_role role, size_t max, idem_error *error)
{
    memset(pool, 0, sizeof *pool);
    pool->ops = ops;
    pool->config = *config;
    pool->config.role = role;
    pool->pipelined = ops->send != NULL;
    atomic_init(&pool->concurrent, false);
    atomic_init(&pool->failed_spins, 0);
    pool->max = max > IDEM__POOL_MAX ? IDEM__POOL_MAX : max;
    if ((ops->traits & IDEM_TRAIT_CONCURRENT) && pool->max > 1)
        pool->max = 1;
    int failed = pthread_mutex_init(&pool->lock, NULL);
    for (size_t i = 0; i < IDEM__POOL_MAX; i++) {
        pool->connections[i].pool = pool;
        pool->connections[i].lost = true;
        atomic_init(&pool->connections[i].least_ms, UINT64_MAX);
        failed |= pthread_mutex_init(&pool->connections[i].io, NULL);
    }
    if (failed || idem__clock_cond_init(&pool->changed))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a lock can't be made");
    return IDEM_OK;
}

void idem__pool_destroy(idem__pool *pool)
{
    for (size_t i = 0; i < IDEM__POOL_MAX; i++)
        (void)pthread_mutex_destroy(&pool->connections[i].io);
    (void)pthread_cond_destroy(&pool->changed);
    (void)pthread_mutex_destroy(&pool->lock);
}

/* --------------------------------------------------------------------------------- connections */

int idem__pool_open_connection(idem__connection *connection, uint64_t deadline_ms,
                               idem_error *error)
{
    idem__pool *pool = connection->pool;
    idem_backend *backend = NULL;
    connection->config = pool->config;
    connection->config.deadline_ms = deadline_ms;
    int rc = pool->ops->open(&connection->config, &backend, error);
    if (rc == IDEM_OK && !backend)
        rc = idem_error_set(error, IDEM_ERR_INTERNAL, "%s: open gave no instance",
                            pool->ops->scheme);
    if (rc == IDEM_OK) {
        (void)pthread_mutex_lock(&pool->lock);
        connection->backend = backend;
        connection->lost = false;
        (void)pthread_mutex_unlock(&pool->lock);
        return rc;
    }
    (void)idem_error_set(error, rc & ~IDEM_PERMANENT, "%s: %s", pool->ops->scheme,
                         idem_strerror(rc & ~IDEM_PERMANENT));
    return rc;
}

static bool is_at_rest(const idem__connection *connection)
{
    return !connection->busy && connection->waiters.count == 0;
}

idem__connection *idem__pool_free_connection(idem__pool *pool)
{
    idem__connection *closed = NULL;
    if (pool->frozen)
        return NULL;
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *connection = &pool->connections[i];
        if (!is_at_rest(connection))
            continue;
        if (connection->backend)
            return connection;
        if (!closed)
            closed = connection;
    }
    return closed;
}

void idem__pool_wake_head(idem__pool *pool)
{
    if (pool->alone.first && idem__pool_free_connection(pool))
        idem__waiter_wake(pool->alone.first);
    if (!pool->queue.first)
        return;
    if (pool->pipelined ? idem__pipeline_can_send(pool) : idem__pool_free_connection(pool) != NULL)
        idem__waiter_wake(pool->queue.first);
}

/* A thread that opens the connection of a concurrent backend is alone on it until here. */
void idem__pool_release(idem__connection *connection)
{
    idem__pool *pool = connection->pool;
    connection->busy = false;
    if (connection->backend && (pool->ops->traits & IDEM_TRAIT_CONCURRENT)) {
        pool->open_to_all.pool = pool;
        pool->open_to_all.backend = connection->backend;
        atomic_store_explicit(&pool->concurrent, true, memory_order_release);
    }
    (void)pthread_cond_broadcast(&pool->changed);
    idem__pool_wake_head(pool);
}

static void vacate(idem__connection *connection)
{
    int cancel_state = connection->cancel_state;
    (void)pthread_mutex_lock(&connection->pool->lock);
    idem__pool_release(connection);
    (void)pthread_mutex_unlock(&connection->pool->lock);
    idem__inside_leave();
    idem__cancel_restore(cancel_state);
}

/* Takes a connection, so that no fork() happens while it is opened or closed. @return false:
   another thread's fork() took until the deadline */
static bool occupy(idem__connection *connection, uint64_t deadline_ms)
{
    idem__pool *pool = connection->pool;
    bool in_time = true;
    int cancel_state = idem__cancel_hold();
    idem__inside_enter();
    (void)pthread_mutex_lock(&pool->lock);
    while (in_time && (pool->frozen || !is_at_rest(connection)))
        in_time = idem__clock_cond_wait(&pool->changed, &pool->lock, deadline_ms);
    if (in_time) {
        connection->busy = true;
        connection->cancel_state = cancel_state;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (!in_time) {
        idem__inside_leave();
        idem__cancel_restore(cancel_state);
    }
    return in_time;
}

int idem__pool_open(idem__pool *pool, uint64_t deadline_ms, idem_error *error)
{
    idem__connection *first = &pool->connections[0];
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error) | IDEM_PERMANENT;
    if (!occupy(first, deadline_ms))
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "a fork() by another thread waits for calls that are under way; open "
                              "it again later");
    int rc = idem__pool_open_connection(first, deadline_ms, error);
    vacate(first);
    return rc;
}

void idem__pool_close(idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        idem__connection *connection = &pool->connections[i];
        (void)occupy(connection, UINT64_MAX);
        if (connection->backend)
            pool->ops->close(connection->backend);
        connection->backend = NULL;
        vacate(connection);
    }
}

bool idem__pool_is_concurrent(const idem__pool *pool)
{
    return atomic_load_explicit(&pool->concurrent, memory_order_acquire);
}

bool idem__pool_is_idle(idem__pool *pool)
{
    if (idem__pool_is_concurrent(pool))
        return true;
    idem__inside_lock(&pool->lock);
    const idem__connection *connection = idem__pool_free_connection(pool);
    bool idle = connection && connection->backend && !pool->queue.first;
    idem__inside_unlock(&pool->lock);
    return idle;
}

/* ---------------------------------------------------------------------------------- operations */

void idem__pool_fail(idem_op *const *ops, size_t count, int code, const char *message)
{
    int known = idem__error_known(code & ~IDEM_PERMANENT);
    for (size_t i = 0; i < count; i++) {
        if (!ops[i]->applied && !ops[i]->has_found)
            idem_op_fail(ops[i], (code & IDEM_PERMANENT) != 0, known, "%s", message);
    }
}

/* Inlined in spite of the probes, which a compiler takes for long. */
static inline IDEM__INLINED void submit_directly(const idem__pool *pool, idem_op *const *ops,
                                                 size_t count, uint64_t deadline_ms)
{
    idem_error error;
    idem__error_clear(&error);
    IDEM__PROBE2(trip_start, pool->open_to_all.backend, count);
    int rc = pool->ops->submit(pool->open_to_all.backend, ops, count, deadline_ms, &error);
    IDEM__PROBE3(trip_end, pool->open_to_all.backend, count, rc);
    if (rc != IDEM_OK)
        idem__pool_fail(ops, count, rc,
                        error.code ? error.message
                                   : idem_strerror(idem__error_known(rc & ~IDEM_PERMANENT)));
}

/* As a waiter in the queue. False if there can be no connection of this role. */
static bool submit_queued(idem__pool *pool, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    idem__waiter waiter;
    int rc = idem__waiter_init(&waiter, ops, count, deadline_ms);
    if (rc) {
        idem__pool_fail(ops, count, rc, "there is no memory for waiting");
        return true;
    }
    int cancel_state = idem__cancel_hold();
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->refused) {
        waiter.refused = true;
        (void)pthread_mutex_unlock(&pool->lock);
    } else if (pool->pipelined) {
        idem__pipeline_run(pool, &waiter);
    } else {
        idem__lead_run(pool, &waiter);
    }
    idem__cancel_restore(cancel_state);
    idem__waiter_destroy(&waiter);
    return !waiter.refused;
}

bool idem__pool_submit(idem__pool *pool, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    bool there = true;
    if (pool->max == 0)
        return false;
    if (idem__inside_is_orphan()) {
        idem_error error = {0};
        int rc = idem__inside_refuse(&error);
        idem__pool_fail(ops, count, rc | IDEM_PERMANENT, error.message);
        return true;
    }
    idem__inside_enter();
    if (idem__pool_is_concurrent(pool))
        submit_directly(pool, ops, count, deadline_ms);
    else
        there = submit_queued(pool, ops, count, deadline_ms);
    idem__inside_leave();
    if (!there)
        return false;
    /* By each caller for its own: no thread looks at the bytes of others. */
    idem__verify_found(ops, count, !(pool->ops->traits & IDEM_BACKEND_IN_PROCESS));
    return true;
}

/* ----------------------------------------------------------------------- alone on a connection */

static idem__connection *wait_alone(idem__pool *pool, uint64_t deadline_ms, idem_error *error)
{
    idem__waiter waiter;
    if (idem__waiter_init(&waiter, NULL, 0, deadline_ms)) {
        (void)idem__error_no_memory(error);
        return NULL;
    }
    waiter.alone = true;
    (void)pthread_mutex_lock(&pool->lock);
    idem__connection *connection =
        pool->pipelined ? idem__pipeline_enter(pool, &waiter) : idem__lead_enter(pool, &waiter);
    idem__waiter_destroy(&waiter);
    if (!connection)
        (void)idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                             "the store was busy with other callers until the deadline");
    return connection;
}

int idem__pool_enter(idem__pool *pool, uint64_t deadline_ms, idem__connection **connection,
                     idem_error *error)
{
    idem_error own = {0};
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error) | IDEM_PERMANENT;
    if (idem__pool_is_concurrent(pool)) {
        idem__inside_enter();
        *connection = &pool->open_to_all;
        return IDEM_OK;
    }
    int cancel_state = idem__cancel_hold();
    idem__inside_enter();
    idem__connection *mine = wait_alone(pool, deadline_ms, &own);
    if (!mine) {
        idem__inside_leave();
        idem__cancel_restore(cancel_state);
        return idem__error_copy(error, &own);
    }
    mine->cancel_state = cancel_state;
    int rc = mine->backend ? IDEM_OK : idem__pool_open_connection(mine, deadline_ms, error);
    if (rc)
        vacate(mine);
    else
        *connection = mine;
    return rc;
}

void idem__pool_leave(idem__pool *pool, idem__connection *connection)
{
    if (connection != &pool->open_to_all)
        vacate(connection);
    else
        idem__inside_leave();
}

/* ----------------------------------------------------------------------------------- looking at */

/* A thread that opens or closes a connection has made it busy, and writes its backend without the
   lock. */
void idem__pool_usage(idem__pool *pool, idem__pool_count *count)
{
    idem__inside_lock(&pool->lock);
    for (size_t i = 0; i < pool->max; i++) {
        const idem__connection *connection = &pool->connections[i];
        count->busy += connection->busy || connection->waiters.count > 0;
        count->open += connection->busy || connection->backend;
    }
    count->max += pool->max;
    count->waiters += pool->queue.count + pool->alone.count;
    idem__inside_unlock(&pool->lock);
}

/* --------------------------------------------------------------------------------------- fork */

void idem__pool_freeze(idem__pool *pool)
{
    idem__inside_lock(&pool->lock);
    pool->frozen = true;
    idem__inside_unlock(&pool->lock);
}

static bool all_rest(const idem__pool *pool)
{
    for (size_t i = 0; i < pool->max; i++) {
        if (!is_at_rest(&pool->connections[i]))
            return false;
    }
    return true;
}

bool idem__pool_rest(idem__pool *pool, uint64_t until_ms)
{
    idem__inside_lock(&pool->lock);
    bool in_time = true;
    while (in_time && !all_rest(pool))
        in_time = idem__clock_cond_wait(&pool->changed, &pool->lock, until_ms);
    bool rests = all_rest(pool);
    idem__inside_unlock(&pool->lock);
    return rests;
}

void idem__pool_thaw(idem__pool *pool)
{
    idem__inside_lock(&pool->lock);
    pool->frozen = false;
    (void)pthread_cond_broadcast(&pool->changed);
    idem__pool_wake_head(pool);
    idem__inside_unlock(&pool->lock);
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
        for (size_t i = 0; i < pool->max; i++)
            (void)pthread_mutex_lock(&pool->connections[i].io);
        (void)pthread_mutex_lock(&pool->lock);
        for (size_t i = 0; pool->pipelined && i < pool->max; i++)
            idem__pipeline_quiesce(&pool->connections[i]);
        tell_backends(pool, phase);
        return; /* the locks stay held across the fork */
    }
    tell_backends(pool, phase);
    pool->frozen = false;
    if (phase == IDEM_FORK_CHILD) {
        /* Those that wait are threads of the parent. */
        memset(&pool->queue, 0, sizeof pool->queue);
        memset(&pool->alone, 0, sizeof pool->alone);
        for (size_t i = 0; i < pool->max; i++)
            pool->connections[i].draining = false;
        (void)idem__clock_cond_init(&pool->changed);
    } else {
        (void)pthread_cond_broadcast(&pool->changed);
        idem__pool_wake_head(pool);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->max; i++)
        (void)pthread_mutex_unlock(&pool->connections[i].io);
}
