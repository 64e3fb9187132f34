/* SPDX-License-Identifier: MIT */
/*
 * The pool when something ends: threads that are cancelled with others' operations in hand,
 * deadlines in a crowd, and processes that fork. Whoever waits gets his answer, and his own.
 */
#include "pool_fixture.h"
#include "sanitized.h"

#include <sys/wait.h>
#include <unistd.h>

#define THREADS 16

/* ------------------------------------------------------------------------------- cancellation */

/* Asks, and then comes to a point of cancellation of its own. */
static void *ask_and_end(void *argument)
{
    asker *me = argument;
    (void)ask(me->pool, me->number, me->timeout_ms, &me->op);
    pthread_testcancel();
    return NULL;
}

static void assert_cancelled(pthread_t thread)
{
    void *result = NULL;
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
}

START_TEST(a_leader_that_is_cancelled_answers_all_first)
{
    idem__pool pool;
    static asker askers[THREADS];
    asker holder;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    atomic_store(&shut, true);
    start_asker(&holder, &pool, 1000, LONG_MS);
    await_at_gate(1);
    for (size_t i = 0; i < THREADS; i++) {
        askers[i] = (asker){.pool = &pool, .number = i, .timeout_ms = LONG_MS};
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask_and_end, &askers[i]), 0);
    }
    await_queue_len(&pool, THREADS);
    /* All are cancelled while they wait; one of them leads the others afterwards. */
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_cancel(askers[i].thread), 0);
    ck_assert_int_eq(pthread_cancel(holder.thread), 0); /* this one at the gate, inside submit */
    atomic_store(&shut, false);
    (void)pthread_join(holder.thread, NULL);
    ck_assert(is_answered(&holder));
    for (size_t i = 0; i < THREADS; i++) {
        assert_cancelled(askers[i].thread);
        ck_assert(is_answered(&askers[i]));
    }
    ck_assert_int_eq(atomic_load(&submissions), 2);
    end_pool(&pool);
}
END_TEST

START_TEST(a_leader_cancelled_with_others_operations_in_hand_answers_them)
{
    idem__pool pool;
    static asker askers[THREADS];
    for (int round = 0; round < 5; round++) {
        make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
        atomic_store(&shut, true);
        asker leader = {.pool = &pool, .number = 500, .timeout_ms = LONG_MS};
        idem__connection *connection = NULL;
        ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(LONG_MS), &connection, NULL),
                         IDEM_OK);
        ck_assert_int_eq(pthread_create(&leader.thread, NULL, ask_and_end, &leader), 0);
        await_queue_len(&pool, 1);
        for (size_t i = 0; i < THREADS; i++)
            start_asker(&askers[i], &pool, i, LONG_MS);
        await_queue_len(&pool, THREADS + 1);
        idem__pool_leave(&pool, connection); /* it calls the leader, who takes all along */
        await_at_gate(1);
        ck_assert_int_eq(pthread_cancel(leader.thread), 0);
        atomic_store(&shut, false);
        assert_cancelled(leader.thread);
        ck_assert(is_answered(&leader));
        for (size_t i = 0; i < THREADS; i++) {
            (void)pthread_join(askers[i].thread, NULL);
            ck_assert(is_answered(&askers[i]));
        }
        end_pool(&pool);
    }
}
END_TEST

static void *enter_and_sleep(void *argument)
{
    idem__pool *pool = argument;
    idem__connection *connection = NULL;
    if (idem__pool_enter(pool, idem__clock_deadline(LONG_MS), &connection, NULL) == IDEM_OK) {
        stand_at_gate(idem__clock_deadline(LONG_MS));
        idem__pool_leave(pool, connection);
    }
    pthread_testcancel();
    return NULL;
}

START_TEST(who_is_alone_on_a_lane_leaves_it_before_he_is_cancelled)
{
    idem__pool pool;
    pthread_t thread;
    idem_op op;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    atomic_store(&shut, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, enter_and_sleep, &pool), 0);
    await_at_gate(1);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    atomic_store(&shut, false);
    assert_cancelled(thread);
    ck_assert(ask(&pool, 3, LONG_MS, &op));
    ck_assert(op.error.code == IDEM_OK && op.found.version == 3);
    end_pool(&pool);
}
END_TEST

/* ------------------------------------------------------------------------------------ a crowd */

typedef struct {
    idem__pool *pool;
    uint64_t number;
    uint64_t rounds;
    uint64_t timeout_ms;
    uint64_t answered;
    uint64_t late;
    uint64_t wrong;
    pthread_t thread;
} member;

static void *call_in_crowd(void *argument)
{
    member *me = argument;
    for (uint64_t i = 0; i < me->rounds; i++) {
        idem_op op;
        uint64_t number = me->number << 32 | i;
        if (!ask(me->pool, number, me->timeout_ms + i % 3, &op))
            me->wrong++;
        else if (op.has_found && op.error.code == IDEM_OK)
            op.found.version == number ? me->answered++ : me->wrong++;
        else
            op.error.code == IDEM_ERR_UNAVAILABLE ? me->late++ : me->wrong++;
    }
    return NULL;
}

static void start_crowd(member *crowd, idem__pool *pool, uint64_t rounds, uint64_t timeout_ms)
{
    for (size_t i = 0; i < THREADS; i++) {
        crowd[i] =
            (member){.pool = pool, .number = i + 1, .rounds = rounds, .timeout_ms = timeout_ms};
        ck_assert_int_eq(pthread_create(&crowd[i].thread, NULL, call_in_crowd, &crowd[i]), 0);
    }
}

static member end_crowd(member *crowd)
{
    member all = {0};
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(crowd[i].thread, NULL);
        all.answered += crowd[i].answered;
        all.late += crowd[i].late;
        all.wrong += crowd[i].wrong;
    }
    return all;
}

START_TEST(everybody_in_a_crowd_gets_his_own_answer_once)
{
    static const size_t connection_count[] = {1, 2, 4};
    idem__pool pool;
    static member crowd[THREADS];
    make_pool(&pool, IDEM_ROLE_ANY, connection_count[_i], 0);
    start_crowd(crowd, &pool, 1500, LONG_MS);
    member all = end_crowd(crowd);
    ck_assert_uint_eq(all.wrong, 0);
    ck_assert_uint_eq(all.late, 0);
    ck_assert_uint_eq(all.answered, THREADS * 1500);
    ck_assert_ptr_null(pool.queue.first);
    end_pool(&pool);
}
END_TEST

/* The connection is slower than most can wait: answers, deadlines and calls meet in all orders. */
START_TEST(a_crowd_that_is_mostly_late_is_in_order)
{
    idem__pool pool;
    static member crowd[THREADS];
    idem_op op;
    make_pool(&pool, IDEM_ROLE_ANY, 2, 2);
    start_crowd(crowd, &pool, 150, 1);
    member all = end_crowd(crowd);
    ck_assert_uint_eq(all.wrong, 0);
    ck_assert_uint_gt(all.late, 0);
    ck_assert_uint_eq(all.answered + all.late, THREADS * 150);
    ck_assert_ptr_null(pool.queue.first);
    ck_assert(ask(&pool, 5, LONG_MS, &op));
    ck_assert(op.error.code == IDEM_OK && op.found.version == 5);
    end_pool(&pool);
}
END_TEST

/* --------------------------------------------------------------------------------------- fork */

static int use_in_child(idem__pool *pool)
{
    idem_op op;
    idem__pool_fork(pool, IDEM_FORK_CHILD);
    if (pool->queue.first || !ask(pool, 77, LONG_MS, &op))
        return 1;
    return op.error.code == IDEM_OK && op.found.version == 77 ? 0 : 2;
}

START_TEST(a_child_has_none_of_those_who_wait_and_the_parent_all)
{
    enum { FORKS = 15 };
    idem__pool pool;
    static member crowd[THREADS];
    make_pool(&pool, IDEM_ROLE_ANY, 2, 1);
    start_crowd(crowd, &pool, 120, LONG_MS);
    for (int i = 0; i < FORKS; i++) {
        int status = 0;
        idem__pool_freeze(&pool);
        ck_assert(idem__pool_rest(&pool, idem__clock_deadline(LONG_MS)));
        idem__pool_fork(&pool, IDEM_FORK_PREPARE);
        pid_t child = fork();
        if (child == 0)
            _exit(use_in_child(&pool));
        idem__pool_fork(&pool, IDEM_FORK_PARENT);
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    member all = end_crowd(crowd);
    ck_assert_uint_eq(all.wrong + all.late, 0);
    ck_assert_uint_eq(all.answered, THREADS * 120);
    end_pool(&pool);
}
END_TEST

/* All who wait for a connection come while it is frozen, and nobody comes afterwards to take them
   along. */
START_TEST(those_who_queued_before_a_fork_are_called_after_it)
{
    idem__pool pool;
    asker holder;
    asker waiter;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    atomic_store(&shut, true);
    start_asker(&holder, &pool, 1, LONG_MS);
    await_at_gate(1);
    start_asker(&waiter, &pool, 2, LONG_MS);
    await_queue_len(&pool, 1);
    (void)pthread_mutex_lock(&pool.lock);
    pool.frozen = true; /* as a fork() does that waits for the holder */
    (void)pthread_mutex_unlock(&pool.lock);
    atomic_store(&shut, false);
    (void)pthread_join(holder.thread, NULL);
    ck_assert_uint_eq(queue_len(&pool), 1);
    idem__pool_fork(&pool, IDEM_FORK_PREPARE);
    idem__pool_fork(&pool, IDEM_FORK_PARENT);
    (void)pthread_join(waiter.thread, NULL);
    ck_assert(is_answered(&waiter));
    end_pool(&pool);
}
END_TEST

int main(void)
{
    static const int connection_count[3];
    Suite *suite = suite_create("pool at an end");
    ADD(suite, a_leader_that_is_cancelled_answers_all_first);
    ADD(suite, a_leader_cancelled_with_others_operations_in_hand_answers_them);
    ADD(suite, who_is_alone_on_a_lane_leaves_it_before_he_is_cancelled);
    ADD_ROWS(suite, everybody_in_a_crowd_gets_his_own_answer_once, connection_count);
    ADD(suite, a_crowd_that_is_mostly_late_is_in_order);
    const bool sanitized = ADDRESS_SANITIZED || THREAD_SANITIZED;
    if (!sanitized)
        ADD(suite, a_child_has_none_of_those_who_wait_and_the_parent_all);
    ADD(suite, those_who_queued_before_a_fork_are_called_after_it);
    return run_suite(suite);
}
