/* SPDX-License-Identifier: MIT */
/*
 * How submitted calls end otherwise: cancelled before, at and behind the store; closed with work in
 * flight; begun by many threads at once. Each has one answer, and what it says is what was done.
 */
#include "faulty.h"
#include "gate.h"
#include "loop.h"
#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define QUEUED 40

static idem_store *store;
static idem_async *async;
static gate entrance;
static answer told[QUEUED];
static answer stuck;

static void set_up(void)
{
    faulty_clear();
    entrance = (gate)GATE_CLOSED;
    memset(told, 0, sizeof told);
    memset(&stuck, 0, sizeof stuck);
    async = loop_open("faulty+memory://ends", &store);
}

static void tear_down(void)
{
    idem_async_close(async);
    for (size_t i = 0; i < QUEUED; i++)
        idem_outcome_clear(&told[i].outcome);
    idem_outcome_clear(&stuck.outcome);
    idem_close(store);
}

static void expect_status(const char *key, int expected)
{
    idem_record record;
    int rc = idem_get(store, idem_str(key), &record, NULL);
    if (rc == IDEM_OK) {
        rc = (int)record.status;
        idem_record_clear(&record);
    } else {
        rc = -rc;
    }
    ck_assert_msg(rc == expected, "%s is %d, not %d", key, rc, expected);
}

/* Brings one call to the store, where it stays until the gate opens. */
static idem_async_call bring_to_the_store(const char *key)
{
    FAULTY(.before = gate_hold, .user = &entrance, .key = idem_str(key));
    idem_async_call call = loop_begin(async, key, &stuck);
    gate_await(&entrance, 1);
    return call;
}

/* ------------------------------------------------------------------------------------- cancelling */

START_TEST(a_queued_call_that_is_cancelled_has_changed_nothing)
{
    idem_async_call calls[3];
    idem_error error;
    idem_outcome held = loop_claim(async, "held");
    (void)bring_to_the_store("stuck");
    calls[0] = loop_begin(async, "queued", &told[0]);
    calls[1] = loop_begin(async, "not cancelled", &told[1]);
    ck_assert_int_eq(idem_async_complete(async, held.claim, idem_str("1"), on_changed, &told[2],
                                         &calls[2], &error),
                     IDEM_OK);
    ck_assert(idem_async_cancel(async, calls[0]));
    ck_assert(idem_async_cancel(async, calls[2]));
    ck_assert(!idem_async_cancel(async, calls[2])); /* once */
    ck_assert_uint_eq(told[0].answers, 0);          /* never from within */
    loop_until(async, &told[0]);
    loop_until(async, &told[2]);
    assert_told(told[0], IDEM_ERR_UNAVAILABLE);
    assert_told(told[2], IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(told[0].error.message, "cancelled"));
    ck_assert_ptr_null(told[0].outcome.claim);
    gate_open(&entrance);
    loop_until_idle(async);
    assert_told(told[1], IDEM_OK);
    expect_status("queued", -IDEM_ERR_NOT_FOUND);
    expect_status("not cancelled", IDEM_STATUS_IN_PROGRESS);
    expect_status("held", IDEM_STATUS_IN_PROGRESS);
    ck_assert_int_eq(idem_complete(store, held.claim, idem_str("1"), &error), IDEM_OK);
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_call_at_the_store_is_too_late_to_cancel_and_its_claim_is_given)
{
    idem_async_call call = bring_to_the_store("stuck");
    ck_assert(!idem_async_cancel(async, call));
    gate_open(&entrance);
    loop_until(async, &stuck);
    assert_told(stuck, IDEM_OK);
    ck_assert_int_eq(stuck.outcome.kind, IDEM_NEW);
    ck_assert_int_eq(idem_release(store, stuck.outcome.claim, NULL), IDEM_OK);
    ck_assert(!idem_async_cancel(async, call));
    ck_assert(!idem_async_cancel(async, 0));
    ck_assert(!idem_async_cancel(async, call + 1000));
}
END_TEST

/* Without the cancel it would be repeated for half a minute. */
START_TEST(a_call_at_the_store_that_was_cancelled_is_not_repeated)
{
    size_t rule = FAULTY(.kind = FAULTY_BEFORE, .key = idem_str("stuck"), .times = FAULTY_ALWAYS,
                         .before = gate_hold, .user = &entrance);
    idem_async_call call = loop_begin(async, "stuck", &stuck);
    gate_await(&entrance, 1);
    ck_assert(!idem_async_cancel(async, call));
    gate_open(&entrance);
    loop_until(async, &stuck);
    assert_told(stuck, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(stuck.error.message, "cancelled"));
    ck_assert_uint_eq(faulty_hits(rule), 1);
}
END_TEST

START_TEST(a_call_that_waits_for_its_key_can_be_cancelled)
{
    idem_async_call call;
    idem_outcome held = loop_claim(async, "held");
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("held"), .wait_ms = LONG_MS),
                                      on_begun, &told[0], &call, NULL),
                     IDEM_OK);
    (void)loop_is_readable(async, 30); /* until it waits, most likely */
    bool cancelled = idem_async_cancel(async, call);
    loop_until(async, &told[0]);
    ck_assert_uint_eq(told[0].answers, 1);
    if (cancelled) /* else it was looking at that moment, and says what it saw */
        assert_told(told[0], IDEM_ERR_UNAVAILABLE);
    else
        ck_assert_int_eq(told[0].outcome.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&held);
}
END_TEST

/* Lost replies leave a doubt, which a cancelled call has to admit. */
START_TEST(a_call_that_is_cancelled_between_two_tries_says_if_it_may_have_been_done)
{
    idem_async_call call;
    idem_outcome held = loop_claim(async, "held");
    size_t rule = FAULTY(.kind = FAULTY_AFTER, .key = idem_str("held"), .times = FAULTY_ALWAYS);
    ck_assert_int_eq(
        idem_async_complete(async, held.claim, idem_str("1"), on_changed, &told[0], &call, NULL),
        IDEM_OK);
    while (faulty_hits(rule) < 2)
        ck_assert(!loop_is_readable(async, 1));
    (void)idem_async_cancel(async, call);
    loop_until(async, &told[0]);
    assert_told(told[0], IDEM_ERR_UNCERTAIN);
    faulty_clear();
    expect_status("held", IDEM_STATUS_COMPLETED);
    idem_outcome_clear(&held);
}
END_TEST

/* ---------------------------------------------------------------------------------------- closing */

static void *open_later(void *argument)
{
    (void)loop_is_readable(async, 50);
    gate_open(argument);
    return NULL;
}

static idem_error refused;

static void submit_once_more(void *user, idem_outcome *outcome, const idem_error *error)
{
    on_begun(user, outcome, error);
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("more")), on_begun, user,
                                      NULL, &refused),
                     IDEM_ERR_UNAVAILABLE);
    idem_async_close(async); /* it is being closed: no more than that */
}

START_TEST(close_answers_all_that_is_in_flight_once)
{
    pthread_t opener;
    idem_async_call call;
    idem_outcome held = loop_claim(async, "held");
    memset(&refused, 0, sizeof refused);
    FAULTY(.before = gate_hold, .user = &entrance, .key = idem_str("stuck"));
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("stuck")),
                                      submit_once_more, &stuck, &call, NULL),
                     IDEM_OK);
    gate_await(&entrance, 1);
    for (int i = 0; i < QUEUED; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "queued-%d", i);
        (void)loop_begin(async, key, &told[i]);
    }
    ck_assert_int_eq(pthread_create(&opener, NULL, open_later, &entrance), 0);
    idem_async_close(async);
    (void)pthread_join(opener, NULL);
    async = NULL;
    assert_told(stuck, IDEM_OK);
    ck_assert_int_eq(stuck.outcome.kind, IDEM_NEW);
    ck_assert_int_eq(refused.code, IDEM_ERR_UNAVAILABLE);
    for (int i = 0; i < QUEUED; i++)
        assert_told(told[i], IDEM_ERR_UNAVAILABLE);
    expect_status("stuck", IDEM_STATUS_IN_PROGRESS);
    expect_status("queued-0", -IDEM_ERR_NOT_FOUND);
    expect_status("more", -IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(idem_complete(store, stuck.outcome.claim, idem_str("1"), NULL), IDEM_OK);
    idem_outcome_clear(&held);
}
END_TEST

/* One that would be repeated for half a minute, and one that would wait as long. */
START_TEST(close_waits_for_no_repeat_and_for_no_key)
{
    idem_outcome held = loop_claim(async, "held");
    size_t rule = FAULTY(.kind = FAULTY_BEFORE, .key = idem_str("gone"), .times = FAULTY_ALWAYS);
    (void)loop_begin(async, "gone", &told[0]);
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("held"), .wait_ms = LONG_MS),
                                      on_begun, &told[1], NULL, NULL),
                     IDEM_OK);
    while (faulty_hits(rule) < 3)
        (void)loop_is_readable(async, 1);
    uint64_t began = idem_monotonic_ms();
    idem_async_close(async);
    async = NULL;
    ck_assert_uint_lt(idem_monotonic_ms() - began, 10000);
    assert_told(told[0], IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(told[1].answers, 1);
    ck_assert(told[1].error.code == IDEM_ERR_UNAVAILABLE ||
              told[1].outcome.kind == IDEM_IN_PROGRESS);
    idem_outcome_clear(&held);
}
END_TEST

static void close_within(void *user, idem_outcome *outcome, const idem_error *error)
{
    on_begun(user, outcome, error);
    idem_async_close(async);
}

START_TEST(a_callback_may_close_and_dispatch_gives_the_rest_their_answers)
{
    unsigned answers = 0;
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("first")), close_within,
                                      &stuck, NULL, NULL),
                     IDEM_OK);
    ck_assert(loop_is_readable(async, 60000));
    for (int i = 0; i < QUEUED; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k-%d", i);
        (void)loop_begin(async, key, &told[i]);
    }
    ck_assert_uint_eq(idem_async_dispatch(async, 1), 1 + QUEUED);
    async = NULL;
    for (int i = 0; i < QUEUED; i++) {
        ck_assert(told[i].error.code == IDEM_OK || told[i].error.code == IDEM_ERR_UNAVAILABLE);
        answers += told[i].answers;
    }
    ck_assert_uint_eq(answers, QUEUED);
    assert_told(stuck, IDEM_OK);
}
END_TEST

/* -------------------------------------------------------------------------------------- many threads */

#define THREADS    4
#define PER_THREAD 250

typedef struct {
    idem_claim *claim;
    unsigned begun;
    unsigned completed;
} cycle;

static cycle cycles[THREADS * PER_THREAD];
static atomic_uint cancelled;

static void note_completed(void *user, const idem_error *error)
{
    cycle *mine = user;
    mine->completed++;
    if (error->code != IDEM_OK)
        mine->completed = 100;
    idem_claim_free(mine->claim);
}

static void note_begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    cycle *mine = user;
    mine->begun++;
    if (error->code != IDEM_OK)
        return;
    mine->claim = outcome->claim;
    outcome->claim = NULL;
    idem_outcome_clear(outcome);
    ck_assert_int_eq(
        idem_async_complete(async, mine->claim, idem_str("[1]"), note_completed, mine, NULL, NULL),
        IDEM_OK);
}

/* Every tenth is cancelled at once, in time or not. */
static void *submit_many(void *argument)
{
    cycle *first = argument;
    for (size_t i = 0; i < PER_THREAD; i++) {
        char key[32];
        idem_async_call call;
        (void)snprintf(key, sizeof key, "many-%zu", (size_t)(first - cycles) + i);
        if (idem_async_begin(async, IDEM_REQUEST(.key = idem_str(key)), note_begun, &first[i],
                             &call, NULL))
            abort();
        if (i % 10 == 0 && idem_async_cancel(async, call))
            (void)atomic_fetch_add(&cancelled, 1);
    }
    return NULL;
}

START_TEST(many_threads_submit_to_one_loop_and_each_call_is_answered_once)
{
    pthread_t threads[THREADS];
    unsigned done = 0;
    memset(cycles, 0, sizeof cycles);
    atomic_store(&cancelled, 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_many, &cycles[i * PER_THREAD]),
                         0);
    uint64_t began = idem_monotonic_ms();
    while (done < THREADS * PER_THREAD) { /* with the loop turning while they submit */
        ck_assert_uint_lt(idem_monotonic_ms() - began, 60000);
        if (loop_is_readable(async, 10))
            (void)idem_async_dispatch(async, 0);
        done = 0;
        for (size_t i = 0; i < THREADS * PER_THREAD; i++)
            done += cycles[i].begun > 0 && (!cycles[i].claim || cycles[i].completed > 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    ck_assert_uint_eq(idem_async_pending(async), 0);
    unsigned without_claim = 0;
    for (size_t i = 0; i < THREADS * PER_THREAD; i++) {
        ck_assert_uint_eq(cycles[i].begun, 1);
        ck_assert_uint_eq(cycles[i].completed, cycles[i].claim ? 1 : 0);
        without_claim += !cycles[i].claim;
    }
    ck_assert_uint_eq(without_claim, atomic_load(&cancelled));
}
END_TEST

int main(void)
{
    faulty_require();
    Suite *suite = suite_create("async ends");
    ADD_HERE(suite, a_queued_call_that_is_cancelled_has_changed_nothing, 1);
    ADD_HERE(suite, a_call_at_the_store_is_too_late_to_cancel_and_its_claim_is_given, 1);
    ADD_HERE(suite, a_call_at_the_store_that_was_cancelled_is_not_repeated, 1);
    ADD_HERE(suite, a_call_that_waits_for_its_key_can_be_cancelled, 1);
    ADD_HERE(suite, a_call_that_is_cancelled_between_two_tries_says_if_it_may_have_been_done, 1);
    ADD_HERE(suite, close_answers_all_that_is_in_flight_once, 1);
    ADD_HERE(suite, close_waits_for_no_repeat_and_for_no_key, 1);
    ADD_HERE(suite, a_callback_may_close_and_dispatch_gives_the_rest_their_answers, 1);
    ADD_HERE(suite, many_threads_submit_to_one_loop_and_each_call_is_answered_once, 1);
    return run_suite(suite);
}
