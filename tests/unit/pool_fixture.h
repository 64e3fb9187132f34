/* SPDX-License-Identifier: MIT */
/* What the programs that test the pool have in common: a backend that is slow, or waits at a gate,
   and counts; pool on it; and short ways to ask. */
#ifndef IDEM_TESTS_POOL_FIXTURE_H
#define IDEM_TESTS_POOL_FIXTURE_H

#include "pool.h"

#include "clock.h"
#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LONG_MS   UINT64_C(30000)
#define ORDER_MAX 64u

typedef struct {
    idem_backend base;
    atomic_int inside;
} slow;

static atomic_int opened;
static atomic_int overlapped; /* two threads in one instance */
static atomic_int twice;      /* ops that were answered before */
static atomic_int largest;    /* the largest batch */
static atomic_int submissions;
static atomic_int waiting; /* submissions that stand at the gate */
static atomic_bool shut;   /* the gate: a submission waits until it is open */
static atomic_uint delay_ms;
static int open_code;             /* what opening a reader answers */
static uint64_t order[ORDER_MAX]; /* the first ops, as they came; for one connection */
static atomic_size_t ordered;

static int slow_open(const idem_config *config, idem_backend **backend, idem_error *error)
{
    if (config->role == IDEM_ROLE_READER && open_code)
        return idem_error_set(error, open_code, "no readers here");
    slow *made = calloc(1, sizeof *made);
    ck_assert_ptr_nonnull(made);
    atomic_fetch_add(&opened, 1);
    *backend = &made->base;
    return IDEM_OK;
}

static void stand_at_gate(uint64_t deadline_ms)
{
    atomic_fetch_add(&waiting, 1);
    while (atomic_load(&shut) && idem_monotonic_ms() < deadline_ms)
        idem__clock_sleep_until(idem_monotonic_ms() + 1); /* a point of cancellation */
    atomic_fetch_sub(&waiting, 1);
}

/* Answers every op with a record whose version is the number in its key. */
static int slow_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                       uint64_t deadline_ms, idem_error *error)
{
    slow *instance = (slow *)backend;
    (void)error;
    if (atomic_fetch_add(&instance->inside, 1) > 0)
        atomic_fetch_add(&overlapped, 1);
    if ((int)count > atomic_load(&largest))
        atomic_store(&largest, (int)count);
    atomic_fetch_add(&submissions, 1);
    stand_at_gate(deadline_ms);
    if (atomic_load(&delay_ms) > 0) {
        uint64_t until = idem__clock_deadline(atomic_load(&delay_ms));
        idem__clock_sleep_until(until < deadline_ms ? until : deadline_ms);
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->has_found)
            atomic_fetch_add(&twice, 1);
        ops[i]->found = (idem_record){
            .key = ops[i]->key, .status = IDEM_STATUS_IN_PROGRESS, .attempt = 1, .token = "mine"};
        memcpy(&ops[i]->found.version, ops[i]->key.data, sizeof ops[i]->found.version);
        ops[i]->has_found = true;
        size_t at = atomic_fetch_add(&ordered, 1);
        if (at < ORDER_MAX)
            order[at] = ops[i]->found.version;
    }
    atomic_fetch_sub(&instance->inside, 1);
    return IDEM_OK;
}

static void slow_close(idem_backend *backend)
{
    atomic_fetch_sub(&opened, 1);
    free(backend);
}

static const idem_backend_ops slow_ops = {
    .size = sizeof slow_ops,
    .scheme = "slow",
    .open = slow_open,
    .submit = slow_submit,
    .close = slow_close,
};
static const idem_config config = {.size = sizeof config, .scheme = "slow"};

static inline void make_pool(idem__pool *pool, idem_role role, size_t max, unsigned slowness_ms)
{
    atomic_store(&opened, 0);
    atomic_store(&largest, 0);
    atomic_store(&overlapped, 0);
    atomic_store(&twice, 0);
    atomic_store(&submissions, 0);
    atomic_store(&ordered, 0);
    atomic_store(&shut, false);
    atomic_store(&delay_ms, slowness_ms);
    open_code = IDEM_OK;
    ck_assert_int_eq(idem__pool_init(pool, &slow_ops, &config, role, max, NULL), IDEM_OK);
}

static inline void end_pool(idem__pool *pool)
{
    idem__pool_close(pool);
    idem__pool_destroy(pool);
    ck_assert_int_eq(atomic_load(&overlapped), 0);
    ck_assert_int_eq(atomic_load(&twice), 0);
    ck_assert_int_eq(atomic_load(&opened), 0);
}

static inline bool ask(idem__pool *pool, uint64_t number, uint64_t timeout_ms, idem_op *op)
{
    idem_op *ops[] = {op};
    memset(op, 0, sizeof *op);
    op->kind = IDEM_OP_GET;
    op->key = (idem_bytes){&number, sizeof number};
    return idem__pool_submit(pool, ops, 1, idem__clock_deadline(timeout_ms));
}

/* How many wait in the queue. */
static inline size_t queue_len(idem__pool *pool)
{
    size_t len = 0;
    (void)pthread_mutex_lock(&pool->lock);
    len = pool->queue.count;
    (void)pthread_mutex_unlock(&pool->lock);
    return len;
}

static inline void await_queue_len(idem__pool *pool, size_t len)
{
    while (queue_len(pool) != len)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
}

static inline void await_at_gate(int count)
{
    while (atomic_load(&waiting) != count)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
}

/* A thread that asks once. */
typedef struct {
    idem__pool *pool;
    uint64_t number;
    uint64_t timeout_ms;
    idem_op op;
    pthread_t thread;
} asker;

static inline void *ask_once(void *argument)
{
    asker *me = argument;
    (void)ask(me->pool, me->number, me->timeout_ms, &me->op);
    return NULL;
}

static inline void start_asker(asker *me, idem__pool *pool, uint64_t number, uint64_t timeout_ms)
{
    *me = (asker){.pool = pool, .number = number, .timeout_ms = timeout_ms};
    ck_assert_int_eq(pthread_create(&me->thread, NULL, ask_once, me), 0);
}

static inline bool is_answered(const asker *me)
{
    return me->op.error.code == IDEM_OK && me->op.has_found && me->op.found.version == me->number;
}

#endif
