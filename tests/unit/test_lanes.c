/* SPDX-License-Identifier: MIT */
/*
 * Lanes: one thread at a time in an instance, callers that wait share a batch, nobody waits past
 * his deadline, and everybody gets his own answer. The backend here is a slow one that counts.
 */
#include "lanes.h"

#include "clock.h"
#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 32
#define ROUNDS  50

typedef struct {
    idem_backend base;
    atomic_int inside;
} slow;

static atomic_int opened;
static atomic_int overlapped; /* two threads in one instance */
static atomic_int largest;    /* the largest batch */
static atomic_int submissions;
static atomic_uint delay_ms;
static int open_code; /* what opening a reader answers */

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
    uint64_t until = idem__clock_deadline(atomic_load(&delay_ms));
    idem__clock_sleep_until(until < deadline_ms ? until : deadline_ms);
    for (size_t i = 0; i < count; i++) {
        memcpy(&ops[i]->found.version, ops[i]->key.data, sizeof ops[i]->found.version);
        ops[i]->has_found = true;
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

static void make_lanes(idem__lanes *lanes, idem_role role, size_t max, unsigned slowness_ms)
{
    atomic_store(&largest, 0);
    atomic_store(&overlapped, 0);
    atomic_store(&submissions, 0);
    atomic_store(&delay_ms, slowness_ms);
    open_code = IDEM_OK;
    ck_assert_int_eq(idem__lanes_init(lanes, &slow_ops, &config, role, max, NULL), IDEM_OK);
}

static void end_lanes(idem__lanes *lanes)
{
    idem__lanes_close(lanes);
    idem__lanes_destroy(lanes);
}

static bool ask(idem__lanes *lanes, uint64_t number, uint64_t timeout_ms, idem_op *op)
{
    idem_op *ops[] = {op};
    memset(op, 0, sizeof *op);
    op->kind = IDEM_OP_GET;
    op->key = (idem_bytes){&number, sizeof number};
    return idem__lanes_submit(lanes, ops, 1, idem__clock_deadline(timeout_ms));
}

typedef struct {
    idem__lanes *lanes;
    uint64_t number;
    int wrong;
} caller;

static void *call_often(void *argument)
{
    caller *me = argument;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        idem_op op;
        uint64_t number = me->number * 1000 + i;
        if (!ask(me->lanes, number, 10000, &op) || op.error.code || op.found.version != number)
            me->wrong++;
    }
    return NULL;
}

/* Lets THREADS callers loose on some lanes. */
static void run_callers(size_t lane_count)
{
    idem__lanes lanes;
    pthread_t threads[THREADS];
    caller callers[THREADS];
    make_lanes(&lanes, IDEM_ROLE_ANY, lane_count, 1);
    ck_assert_int_eq(idem__lanes_open(&lanes, idem__clock_deadline(1000), NULL), IDEM_OK);
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (caller){.lanes = &lanes, .number = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_int_eq(callers[i].wrong, 0);
    }
    ck_assert_int_eq(atomic_load(&overlapped), 0);
    ck_assert_int_ge(atomic_load(&largest), 4);
    ck_assert_int_lt(atomic_load(&submissions), THREADS * ROUNDS / 2);
    ck_assert_int_le(atomic_load(&opened), (int)lane_count);
    end_lanes(&lanes);
    ck_assert_int_eq(atomic_load(&opened), 0);
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

static void *hold_lane(void *argument)
{
    idem_op op;
    (void)ask(argument, 7, 400, &op);
    return NULL;
}

START_TEST(a_caller_leaves_the_queue_at_its_deadline)
{
    idem__lanes lanes;
    pthread_t holder;
    idem_op op;
    make_lanes(&lanes, IDEM_ROLE_ANY, 1, 400);
    ck_assert_int_eq(pthread_create(&holder, NULL, hold_lane, &lanes), 0);
    idem__clock_sleep_until(idem__clock_deadline(50));
    uint64_t start = idem_monotonic_ms();
    ck_assert(ask(&lanes, 8, 100, &op));
    uint64_t took = idem_monotonic_ms() - start;
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_msg(took >= 99 && took < 300, "%d ms", (int)took);
    (void)pthread_join(holder, NULL);
    atomic_store(&delay_ms, 0);
    ck_assert(ask(&lanes, 9, 100, &op)); /* and the queue is in order */
    ck_assert(op.error.code == IDEM_OK && op.found.version == 9);
    end_lanes(&lanes);
}
END_TEST

START_TEST(readers_may_be_refused)
{
    idem__lanes lanes;
    idem_op op;
    make_lanes(&lanes, IDEM_ROLE_READER, 2, 0);
    open_code = IDEM_ERR_UNSUPPORTED;
    ck_assert(!ask(&lanes, 1, 1000, &op));
    ck_assert(op.error.code == IDEM_OK && !op.has_found);
    open_code = IDEM_OK;
    ck_assert(!ask(&lanes, 1, 1000, &op)); /* once and for all */
    end_lanes(&lanes);
    make_lanes(&lanes, IDEM_ROLE_READER, 0, 0);
    ck_assert(!ask(&lanes, 1, 1000, &op));
    end_lanes(&lanes);
}
END_TEST

START_TEST(a_lane_that_cannot_be_opened_fails_its_ops_and_is_tried_again)
{
    idem__lanes lanes;
    idem_op op;
    make_lanes(&lanes, IDEM_ROLE_READER, 1, 0);
    open_code = IDEM_ERR_UNAVAILABLE;
    ck_assert(ask(&lanes, 1, 1000, &op));
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(op.error.message, "no readers here");
    open_code = IDEM_OK;
    ck_assert(ask(&lanes, 1, 1000, &op));
    ck_assert(op.error.code == IDEM_OK && op.found.version == 1);
    end_lanes(&lanes);
}
END_TEST

START_TEST(a_lane_can_be_entered_alone)
{
    idem__lanes lanes;
    idem__lane *lane = NULL;
    idem__lane *second = NULL;
    idem_op op;
    make_lanes(&lanes, IDEM_ROLE_ANY, 1, 0);
    ck_assert_int_eq(idem__lanes_enter(&lanes, idem__clock_deadline(100), &lane, NULL), IDEM_OK);
    ck_assert(lane->backend && !idem__lanes_idle(&lanes));
    ck_assert_int_eq(idem__lanes_enter(&lanes, idem__clock_deadline(30), &second, NULL),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert(ask(&lanes, 1, 30, &op));
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    idem__lanes_leave(&lanes, lane);
    ck_assert(idem__lanes_idle(&lanes));
    ck_assert(ask(&lanes, 1, 1000, &op));
    ck_assert_int_eq(op.error.code, IDEM_OK);
    end_lanes(&lanes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lanes");
    ADD(suite, callers_share_batches_and_get_their_own_answers);
    ADD(suite, several_lanes_work_at_once);
    ADD(suite, a_caller_leaves_the_queue_at_its_deadline);
    ADD(suite, readers_may_be_refused);
    ADD(suite, a_lane_that_cannot_be_opened_fails_its_ops_and_is_tried_again);
    ADD(suite, a_lane_can_be_entered_alone);
    return run_suite(suite);
}
