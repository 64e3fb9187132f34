/* SPDX-License-Identifier: MIT */
/*
 * Leaders and their batches, on a backend that the test holds at a gate: who is in a batch, by when
 * it ends, and what its waiters are told. Order and load are in test_pool.c.
 */
#include "pool.h"

#include "clock.h"
#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>

#define LONG_MS UINT64_C(30000)
#define MOST    4u

typedef struct {
    idem_backend base;
} gate;

typedef struct {
    size_t count;
    uint64_t deadline_ms;
} batch;

static gate the_gate;
static atomic_bool shut;
static atomic_uint standing;
static batch batches[16];
static atomic_size_t batch_count;
static int open_code;
static unsigned opens;
static int submit_code; /* of the whole batch, when its first operation was answered */

static int open_gate(const idem_config *config, idem_backend **backend, idem_error *error)
{
    (void)config;
    opens++;
    if (open_code)
        return idem_error_set(error, open_code & ~IDEM_PERMANENT, "not here") |
               (open_code & IDEM_PERMANENT);
    *backend = &the_gate.base;
    return IDEM_OK;
}

static void close_gate(idem_backend *backend)
{
    (void)backend;
}

static void answer(idem_op *op)
{
    op->found = (idem_record){
        .key = op->key, .status = IDEM_STATUS_IN_PROGRESS, .attempt = 1, .token = "mine"};
    op->has_found = true;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    (void)backend;
    batches[atomic_fetch_add(&batch_count, 1) % 16] = (batch){count, deadline_ms};
    (void)atomic_fetch_add(&standing, 1);
    while (atomic_load(&shut))
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    (void)atomic_fetch_sub(&standing, 1);
    for (size_t i = 0; i < (submit_code ? 1 : count); i++)
        answer(ops[i]);
    return submit_code ? idem_error_set(error, submit_code, "in mid-batch") : IDEM_OK;
}

static const idem_backend_ops ops = {
    .size = sizeof ops, .scheme = "gate", .open = open_gate, .submit = submit, .close = close_gate};
static const idem_config config = {.size = sizeof config, .scheme = "gate"};
static idem__pool pool;

static void make_pool(idem_role role)
{
    ck_assert_int_eq(idem__pool_init(&pool, &ops, &config, role, 1, NULL), IDEM_OK);
}

static void set_up(void)
{
    atomic_store(&shut, true);
    atomic_store(&batch_count, 0);
    open_code = submit_code = IDEM_OK;
    opens = 0;
    make_pool(IDEM_ROLE_ANY);
}

static void tear_down(void)
{
    idem__pool_close(&pool);
    idem__pool_destroy(&pool);
}

/* ------------------------------------------------------------------------------------- callers */

typedef struct {
    size_t count;
    uint64_t deadline_ms;
    idem_op ops[MOST];
    bool there;
    pthread_t thread;
} caller;

static void *ask(void *argument)
{
    static const uint64_t number = 7;
    caller *me = argument;
    idem_op *mine[MOST];
    memset(me->ops, 0, sizeof me->ops);
    for (size_t i = 0; i < me->count; i++) {
        me->ops[i].kind = IDEM_OP_GET;
        me->ops[i].key = (idem_bytes){&number, sizeof number};
        mine[i] = &me->ops[i];
    }
    me->there = idem__pool_submit(&pool, mine, me->count, me->deadline_ms);
    return NULL;
}

static void begin(caller *me, size_t count, uint64_t timeout_ms)
{
    *me = (caller){.count = count, .deadline_ms = idem__clock_deadline(timeout_ms)};
    ck_assert_int_eq(pthread_create(&me->thread, NULL, ask, me), 0);
}

static void end(caller *me)
{
    ck_assert_int_eq(pthread_join(me->thread, NULL), 0);
}

static void assert_answered(const caller *me)
{
    ck_assert(me->there);
    for (size_t i = 0; i < me->count; i++)
        ck_assert(me->ops[i].error.code == IDEM_OK && me->ops[i].has_found);
}

static size_t queue_len(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    size_t len = pool.queue.count;
    (void)pthread_mutex_unlock(&pool.lock);
    return len;
}

static void await_queue_len(size_t len)
{
    while (queue_len() != len)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
}

/* The first one, which stands at the gate while the others come. */
static void begin_first(caller *me)
{
    begin(me, 1, LONG_MS);
    while (atomic_load(&standing) == 0)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
}

static void begin_behind(caller *all, size_t index, size_t count, uint64_t timeout_ms)
{
    size_t before = queue_len();
    begin(&all[index], count, timeout_ms);
    await_queue_len(before + 1);
}

/* --------------------------------------------------------------------------------------- tests */

START_TEST(a_batch_ends_at_the_earliest_deadline_of_its_callers)
{
    caller first;
    caller all[3];
    begin_first(&first);
    begin_behind(all, 0, 2, LONG_MS);
    begin_behind(all, 1, 1, LONG_MS / 2);
    begin_behind(all, 2, 4, LONG_MS);
    atomic_store(&shut, false);
    end(&first);
    for (size_t i = 0; i < 3; i++) {
        end(&all[i]);
        assert_answered(&all[i]);
    }
    ck_assert_uint_eq(atomic_load(&batch_count), 2);
    ck_assert_uint_eq(batches[0].deadline_ms, first.deadline_ms);
    ck_assert_uint_eq(batches[1].count, 7);
    ck_assert_uint_eq(batches[1].deadline_ms, all[1].deadline_ms);
}
END_TEST

/* Who wants the connection alone is not passed: those behind go with the next batch. */
START_TEST(a_batch_ends_in_front_of_one_that_wants_the_connection_alone)
{
    caller first;
    caller all[3];
    idem__waiter alone;
    begin_first(&first);
    begin_behind(all, 0, 1, LONG_MS);
    begin_behind(all, 1, 1, LONG_MS);
    ck_assert_int_eq(idem__waiter_init(&alone, NULL, 0, idem__clock_deadline(LONG_MS)), IDEM_OK);
    alone.alone = true;
    (void)pthread_mutex_lock(&pool.lock);
    idem__wait_queue_add(&pool.queue, &alone);
    alone.queued = true;
    (void)pthread_mutex_unlock(&pool.lock);
    begin_behind(all, 2, 1, LONG_MS);
    atomic_store(&shut, false);
    end(&first);
    end(&all[0]);
    end(&all[1]);
    ck_assert_uint_eq(batches[1].count, 2);
    ck_assert_uint_eq(queue_len(), 2);
    (void)pthread_mutex_lock(&pool.lock); /* it has had its turn */
    idem__wait_queue_remove(&pool.queue, &alone);
    idem__pool_wake_head(&pool);
    (void)pthread_mutex_unlock(&pool.lock);
    end(&all[2]);
    assert_answered(&all[2]);
    idem__waiter_destroy(&alone);
}
END_TEST

START_TEST(what_was_answered_before_a_batch_failed_stays)
{
    caller one;
    submit_code = IDEM_ERR_UNCERTAIN;
    atomic_store(&shut, false);
    begin(&one, 3, LONG_MS);
    end(&one);
    ck_assert(one.ops[0].error.code == IDEM_OK && one.ops[0].has_found);
    for (size_t i = 1; i < 3; i++) {
        ck_assert_int_eq(one.ops[i].error.code, IDEM_ERR_UNCERTAIN);
        ck_assert_str_eq(one.ops[i].error.message, "in mid-batch");
    }
}
END_TEST

/* The one behind takes over; nobody is left with a connection that is free. */
START_TEST(one_that_leaves_at_its_deadline_wakes_the_next)
{
    caller first;
    caller all[2];
    begin_first(&first);
    begin_behind(all, 0, 1, 30);
    begin_behind(all, 1, 1, LONG_MS);
    end(&all[0]);
    ck_assert_int_eq(all[0].ops[0].error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(all[0].ops[0].error.message, "busy with other callers"));
    ck_assert_uint_eq(queue_len(), 1);
    atomic_store(&shut, false);
    end(&first);
    end(&all[1]);
    assert_answered(&all[1]);
}
END_TEST

static const int refusals[] = {IDEM_ERR_UNSUPPORTED, IDEM_ERR_UNSUPPORTED | IDEM_PERMANENT};

/* All of its batch are told, and each goes to the writers. */
START_TEST(where_readers_are_refused_nothing_is_done)
{
    caller all[2];
    tear_down();
    make_pool(IDEM_ROLE_READER);
    open_code = refusals[_i];
    for (size_t i = 0; i < 2; i++) {
        begin(&all[i], 2, LONG_MS);
        end(&all[i]);
        ck_assert(!all[i].there);
        for (size_t k = 0; k < 2; k++)
            ck_assert(all[i].ops[k].error.code == IDEM_OK && !all[i].ops[k].has_found);
    }
    ck_assert_uint_eq(atomic_load(&batch_count), 0);
    ck_assert_uint_eq(opens, 1); /* once and for all */
}
END_TEST

/* The same answer to one that writes is an error. */
START_TEST(one_that_writes_is_told_what_kept_it_from_opening)
{
    caller one;
    open_code = IDEM_ERR_UNSUPPORTED;
    begin(&one, 2, LONG_MS);
    end(&one);
    ck_assert(one.there);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(one.ops[i].error.code, IDEM_ERR_UNSUPPORTED);
        ck_assert_str_eq(one.ops[i].error.message, "not here");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lead");
    ADD_HERE(suite, a_batch_ends_at_the_earliest_deadline_of_its_callers, 1);
    ADD_HERE(suite, a_batch_ends_in_front_of_one_that_wants_the_connection_alone, 1);
    ADD_HERE(suite, what_was_answered_before_a_batch_failed_stays, 1);
    ADD_HERE(suite, one_that_leaves_at_its_deadline_wakes_the_next, 1);
    ADD_HERE(suite, where_readers_are_refused_nothing_is_done, 2);
    ADD_HERE(suite, one_that_writes_is_told_what_kept_it_from_opening, 1);
    return run_suite(suite);
}
