/* SPDX-License-Identifier: MIT */
/*
 * The pool: one thread at a time in an instance, callers that wait share a batch, nobody waits past
 * his deadline, and everybody gets his own answer. The backend here is a slow one that counts.
 */
#include "pool_fixture.h"

#define THREADS 32
#define ROUNDS  50

typedef struct {
    idem__pool *pool;
    uint64_t number;
    int wrong;
} caller;

static void *call_often(void *argument)
{
    caller *me = argument;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        idem_op op;
        uint64_t number = me->number * 1000 + i;
        if (!ask(me->pool, number, LONG_MS, &op) || op.error.code || op.found.version != number)
            me->wrong++;
    }
    return NULL;
}

/* Lets THREADS callers loose on some pool, when all of them have come. */
static void run_callers(size_t connection_count)
{
    idem__pool pool;
    pthread_t threads[THREADS];
    caller callers[THREADS];
    make_pool(&pool, IDEM_ROLE_ANY, connection_count, 1);
    ck_assert_int_eq(idem__pool_open(&pool, idem__clock_deadline(1000), NULL), IDEM_OK);
    atomic_store(&shut, true);
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (caller){.pool = &pool, .number = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    await_queue_len(&pool, THREADS - connection_count);
    await_at_gate((int)connection_count);
    atomic_store(&shut, false);
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_int_eq(callers[i].wrong, 0);
    }
    ck_assert_int_ge(atomic_load(&largest), (int)(THREADS - connection_count));
    ck_assert_int_lt(atomic_load(&submissions), THREADS * ROUNDS);
    ck_assert_int_le(atomic_load(&opened), (int)connection_count);
    end_pool(&pool);
}

START_TEST(callers_share_batches_and_get_their_own_answers)
{
    run_callers(1);
}
END_TEST

START_TEST(several_lanes_work_at_once)
{
    run_callers(3);
}
END_TEST

START_TEST(callers_are_served_in_the_order_in_which_they_came)
{
    enum { CALLERS = 12 };
    idem__pool pool;
    asker first;
    asker others[CALLERS];
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    atomic_store(&shut, true);
    start_asker(&first, &pool, 100, LONG_MS);
    await_at_gate(1);
    for (size_t i = 0; i < CALLERS; i++) {
        start_asker(&others[i], &pool, i, LONG_MS);
        await_queue_len(&pool, i + 1);
    }
    atomic_store(&shut, false);
    (void)pthread_join(first.thread, NULL);
    for (size_t i = 0; i < CALLERS; i++) {
        (void)pthread_join(others[i].thread, NULL);
        ck_assert(is_answered(&others[i]));
        ck_assert_uint_eq(order[i + 1], i);
    }
    ck_assert_int_eq(atomic_load(&submissions), 2); /* one batch for all who waited */
    end_pool(&pool);
}
END_TEST

/* Asks for so many keys at once. */
typedef struct {
    idem__pool *pool;
    size_t count;
    uint64_t timeout_ms;
    idem_op ops[IDEM_BATCH_MAX];
    pthread_t thread;
} crowd;

static void *ask_many(void *argument)
{
    static const uint64_t number = 7;
    crowd *me = argument;
    idem_op *ops[IDEM_BATCH_MAX];
    for (size_t i = 0; i < me->count; i++) {
        memset(&me->ops[i], 0, sizeof me->ops[i]);
        me->ops[i].kind = IDEM_OP_GET;
        me->ops[i].key = (idem_bytes){&number, sizeof number};
        ops[i] = &me->ops[i];
    }
    ck_assert(idem__pool_submit(me->pool, ops, me->count, idem__clock_deadline(me->timeout_ms)));
    return NULL;
}

/* Two that wait while another is in. @return the largest batch */
static int batch_of_two(size_t first_count, uint64_t first_ms, size_t second_count,
                        uint64_t second_ms)
{
    static crowd all[2];
    idem__pool pool;
    asker leader;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    atomic_store(&shut, true);
    start_asker(&leader, &pool, 1, LONG_MS);
    await_at_gate(1);
    all[0] = (crowd){.pool = &pool, .count = first_count, .timeout_ms = first_ms};
    all[1] = (crowd){.pool = &pool, .count = second_count, .timeout_ms = second_ms};
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&all[i].thread, NULL, ask_many, &all[i]), 0);
        await_queue_len(&pool, i + 1);
    }
    atomic_store(&shut, false);
    ck_assert_int_eq(pthread_join(leader.thread, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(all[i].thread, NULL), 0);
    int most = atomic_load(&largest);
    end_pool(&pool);
    return most;
}

START_TEST(a_batch_takes_callers_as_a_whole)
{
    ck_assert_int_eq(batch_of_two(200, LONG_MS, 56, LONG_MS), IDEM_BATCH_MAX);
    ck_assert_int_eq(batch_of_two(200, LONG_MS, 57, LONG_MS), 200);
    ck_assert_int_eq(batch_of_two(IDEM_BATCH_MAX, LONG_MS, 1, LONG_MS), IDEM_BATCH_MAX);
    ck_assert_int_eq(batch_of_two(1, LONG_MS, 1, LONG_MS), 2);
}
END_TEST

/* Its deadline would be theirs too. */
START_TEST(one_with_little_time_is_in_no_batch_of_those_with_much)
{
    ck_assert_int_eq(batch_of_two(5, LONG_MS, 3, LONG_MS / 20), 5);
    ck_assert_int_eq(batch_of_two(3, LONG_MS / 20, 5, LONG_MS), 5);
    ck_assert_int_eq(batch_of_two(5, LONG_MS, 3, LONG_MS / 4), 8);
}
END_TEST

/* The head was woken, and does not run yet, while others come and go. */
START_TEST(a_batch_that_has_no_room_for_the_head_does_not_pass_it)
{
    static const uint64_t number = 7;
    static crowd later;
    idem__pool pool;
    idem__waiter head;
    idem_op op = {.kind = IDEM_OP_GET, .key = {&number, sizeof number}};
    idem_op *ops[] = {&op};
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    ck_assert_int_eq(idem__waiter_init(&head, ops, 1, idem__clock_deadline(600)), IDEM_OK);
    idem__wait_queue_add(&pool.queue, &head);
    head.queued = true;
    later = (crowd){.pool = &pool, .count = IDEM_BATCH_MAX, .timeout_ms = 300};
    (void)ask_many(&later);
    ck_assert_int_eq(later.ops[0].error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert(head.queued && !op.has_found);
    later = (crowd){.pool = &pool, .count = IDEM_BATCH_MAX - 1, .timeout_ms = 600};
    (void)ask_many(&later);
    ck_assert(later.ops[0].error.code == IDEM_OK && op.has_found);
    ck_assert(idem__waiter_is_done(&head));
    idem__waiter_destroy(&head);
    end_pool(&pool);
}
END_TEST

static void *hold_connection(void *argument)
{
    idem_op op;
    (void)ask(argument, 7, LONG_MS, &op);
    return NULL;
}

START_TEST(a_caller_leaves_the_queue_at_its_deadline)
{
    idem__pool pool;
    pthread_t holder;
    idem_op op;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    atomic_store(&shut, true);
    ck_assert_int_eq(pthread_create(&holder, NULL, hold_connection, &pool), 0);
    await_at_gate(1);
    uint64_t start = idem_monotonic_ms();
    ck_assert(ask(&pool, 8, 100, &op));
    uint64_t took = idem_monotonic_ms() - start;
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_msg(took >= 99 && took < LONG_MS / 2, "%d ms", (int)took);
    atomic_store(&shut, false);
    (void)pthread_join(holder, NULL);
    ck_assert(ask(&pool, 9, LONG_MS, &op)); /* and the queue is in order */
    ck_assert(op.error.code == IDEM_OK && op.found.version == 9);
    end_pool(&pool);
}
END_TEST

START_TEST(who_leaves_the_queue_does_not_break_it)
{
    idem__pool pool;
    idem__connection *connection = NULL;
    asker hasty;
    asker patient;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(LONG_MS), &connection, NULL),
                     IDEM_OK);
    start_asker(&hasty, &pool, 1, 30);
    start_asker(&patient, &pool, 2, LONG_MS);
    (void)pthread_join(hasty.thread, NULL);
    ck_assert_int_eq(hasty.op.error.code, IDEM_ERR_UNAVAILABLE);
    await_queue_len(&pool, 1);
    idem__pool_leave(&pool, connection);
    (void)pthread_join(patient.thread, NULL);
    ck_assert(is_answered(&patient));
    end_pool(&pool);
}
END_TEST

START_TEST(readers_may_be_refused)
{
    idem__pool pool;
    idem_op op;
    make_pool(&pool, IDEM_ROLE_READER, 2, 0);
    open_code = IDEM_ERR_UNSUPPORTED;
    ck_assert(!ask(&pool, 1, 1000, &op));
    ck_assert(op.error.code == IDEM_OK && !op.has_found);
    open_code = IDEM_OK;
    ck_assert(!ask(&pool, 1, 1000, &op)); /* once and for all */
    end_pool(&pool);
    make_pool(&pool, IDEM_ROLE_READER, 0, 0);
    ck_assert(!ask(&pool, 1, 1000, &op));
    end_pool(&pool);
}
END_TEST

START_TEST(a_lane_that_cannot_be_opened_fails_its_ops_and_is_tried_again)
{
    idem__pool pool;
    idem_op op;
    make_pool(&pool, IDEM_ROLE_READER, 1, 0);
    open_code = IDEM_ERR_UNAVAILABLE;
    ck_assert(ask(&pool, 1, 1000, &op));
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(op.error.message, "no readers here");
    open_code = IDEM_OK;
    ck_assert(ask(&pool, 1, 1000, &op));
    ck_assert(op.error.code == IDEM_OK && op.found.version == 1);
    end_pool(&pool);
}
END_TEST

START_TEST(a_lane_can_be_entered_alone)
{
    idem__pool pool;
    idem__connection *connection = NULL;
    idem__connection *second = NULL;
    idem_op op;
    make_pool(&pool, IDEM_ROLE_ANY, 1, 0);
    ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(LONG_MS), &connection, NULL),
                     IDEM_OK);
    ck_assert(connection->backend && !idem__pool_is_idle(&pool));
    ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(30), &second, NULL),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert(ask(&pool, 1, 30, &op));
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    idem__pool_leave(&pool, connection);
    ck_assert(idem__pool_is_idle(&pool));
    ck_assert(ask(&pool, 1, LONG_MS, &op));
    ck_assert_int_eq(op.error.code, IDEM_OK);
    end_pool(&pool);
}
END_TEST

/* Two who want a connection alone and one who has an op, in one queue: each in its turn. */
START_TEST(who_wants_a_lane_alone_waits_in_the_same_queue)
{
    idem__pool pool;
    idem__connection *connection = NULL;
    caller callers[4];
    pthread_t threads[4];
    make_pool(&pool, IDEM_ROLE_ANY, 1, 1);
    for (size_t i = 0; i < 4; i++) {
        callers[i] = (caller){.pool = &pool, .number = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(LONG_MS), &connection, NULL),
                         IDEM_OK);
        int before = atomic_load(&submissions);
        idem__clock_sleep_until(idem__clock_deadline(1));
        ck_assert_int_eq(atomic_load(&submissions), before);
        idem__pool_leave(&pool, connection);
    }
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_int_eq(callers[i].wrong, 0);
    }
    end_pool(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    ADD(suite, callers_share_batches_and_get_their_own_answers);
    ADD(suite, several_lanes_work_at_once);
    ADD(suite, callers_are_served_in_the_order_in_which_they_came);
    ADD(suite, a_batch_takes_callers_as_a_whole);
    ADD(suite, one_with_little_time_is_in_no_batch_of_those_with_much);
    ADD(suite, who_leaves_the_queue_does_not_break_it);
    ADD(suite, who_wants_a_lane_alone_waits_in_the_same_queue);
    ADD(suite, a_batch_that_has_no_room_for_the_head_does_not_pass_it);
    ADD(suite, a_caller_leaves_the_queue_at_its_deadline);
    ADD(suite, readers_may_be_refused);
    ADD(suite, a_lane_that_cannot_be_opened_fails_its_ops_and_is_tried_again);
    ADD(suite, a_lane_can_be_entered_alone);
    return run_suite(suite);
}
