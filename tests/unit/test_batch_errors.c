/* SPDX-License-Identifier: MIT */
/*
 * Batches as they arrive at a backend: how many of them there are, what is in them, by which
 * deadline. The backend is the one in memory behind a table that counts, remembers, and fails as it
 * is told.
 */
#include "registry.h"

#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define ITEMS_MAX   600
#define BATCHES_MAX 64
#define LONG_MS     UINT64_C(60000)

/* What is to be done with the batches that come. */
typedef enum { HONEST, REFUSED, LOST, STALLED } answer;

static struct {
    size_t sizes[BATCHES_MAX];
    uint64_t left_ms[BATCHES_MAX]; /* until the deadline, as it arrived */
    size_t count;
    answer answers[BATCHES_MAX]; /* of each batch in its turn */
    answer last;                 /* of those behind them */
    const char *only;            /* the one key that is hit; NULL: all */
} seen;

static atomic_bool stalled; /* a batch is */

static const idem_backend_ops *memory;
static idem_store *store;
static idem_error err;
static idem_request requests[ITEMS_MAX];
static idem_outcome outcomes[ITEMS_MAX];
static idem_error errors[ITEMS_MAX];
static idem_claim *claims[ITEMS_MAX];
static idem_bytes responses[ITEMS_MAX];
static char names[ITEMS_MAX][32];

static void sleep_until(uint64_t until_ms)
{
    while (idem_monotonic_ms() < until_ms) {
        struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

static bool is_hit(const idem_op *op)
{
    return !seen.only ||
           (op->key.len == strlen(seen.only) && memcmp(op->key.data, seen.only, op->key.len) == 0);
}

/* Does what the answer says to one op: refuses it, or loses the reply. */
static void spoil(idem_op *op, answer how)
{
    if (how == REFUSED || how == STALLED) {
        idem_op_fail(op, false, IDEM_ERR_UNAVAILABLE, "refused");
        return;
    }
    idem_record_clear(&op->found);
    op->applied = false;
    op->has_found = false;
    idem_op_fail(op, false, IDEM_ERR_UNCERTAIN, "the reply was lost");
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    ck_assert_uint_lt(seen.count, BATCHES_MAX);
    size_t nth = seen.count++;
    uint64_t now = idem_monotonic_ms();
    answer how = seen.answers[nth] == HONEST ? seen.last : seen.answers[nth];
    seen.sizes[nth] = count;
    seen.left_ms[nth] = deadline_ms > now ? deadline_ms - now : 0;
    for (size_t i = 0; i < count; i++) {
        bool hit = how != HONEST && is_hit(ops[i]);
        if (!hit || how == LOST)
            (void)memory->submit(backend, &ops[i], 1, deadline_ms, error);
        if (hit)
            spoil(ops[i], how);
    }
    atomic_store(&stalled, how == STALLED);
    if (how == STALLED)
        sleep_until(deadline_ms);
    return IDEM_OK;
}

static void set_up(void)
{
    idem_backend_ops counting;
    memset(&seen, 0, sizeof seen);
    ck_assert_int_eq(idem__registry_find("memory", &memory, &err), IDEM_OK);
    counting = *memory;
    counting.submit = submit;
    counting.traits &= ~IDEM_TRAIT_CONCURRENT; /* by the queue, like SQLite and Redis */
    ck_assert_int_eq(idem_open_backend(&counting, NULL, NULL, &store, &err), IDEM_OK);
}

static void tear_down(void)
{
    idem_close(store);
}

static void ask_for(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%zu", i);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(names[i]);
        requests[i].lease_ms = LONG_MS;
        responses[i] = idem_str("1");
    }
}

static int begin(size_t count)
{
    int rc = idem_begin_many(store, requests, count, outcomes, errors, &err);
    for (size_t i = 0; i < count; i++)
        claims[i] = outcomes[i].claim;
    return rc;
}

static void clear(size_t count)
{
    for (size_t i = 0; i < count; i++)
        idem_outcome_clear(&outcomes[i]);
    size_t told = seen.count;
    memset(&seen, 0, sizeof seen);
    ck_assert_uint_gt(told, 0);
}

static void expect_batches(size_t count, size_t first, size_t second)
{
    ck_assert_uint_eq(seen.count, count);
    ck_assert_uint_eq(seen.sizes[0], first);
    ck_assert_uint_eq(seen.sizes[1], second);
}

/* ------------------------------------------------------------------------------------- how many */

START_TEST(a_batch_is_one_submission)
{
    ask_for(257);
    ck_assert_int_eq(begin(256), IDEM_OK);
    expect_batches(1, 256, 0);
    ck_assert_int_eq(idem_complete_many(store, claims, responses, 256, errors, &err), IDEM_OK);
    expect_batches(2, 256, 256);
    clear(256);
    ck_assert_int_eq(begin(257), IDEM_OK);
    expect_batches(2, 256, 1);
    ck_assert_int_eq(outcomes[255].kind, IDEM_COMPLETED);
    ck_assert_int_eq(outcomes[256].kind, IDEM_NEW);
    clear(257);
}
END_TEST

/* What needs a second operation shares a second submission, and what is done is not sent again. */
START_TEST(takeovers_share_the_second_submission)
{
    ask_for(5);
    requests[1].lease_ms = 1;
    requests[3].lease_ms = 1;
    ck_assert_int_eq(begin(5), IDEM_OK);
    clear(5);
    sleep_until(idem_monotonic_ms() + 5);
    ck_assert_int_eq(begin(5), IDEM_OK);
    expect_batches(2, 5, 2);
    ck_assert_uint_eq(outcomes[1].attempt, 2);
    ck_assert_uint_eq(outcomes[3].attempt, 2);
    ck_assert_int_eq(outcomes[2].kind, IDEM_IN_PROGRESS);
    clear(5);
}
END_TEST

START_TEST(what_is_not_valid_is_not_sent)
{
    ask_for(3);
    requests[1].key.len = 0;
    ck_assert_int_eq(begin(3), IDEM_ERR_ARGUMENT);
    expect_batches(1, 2, 0);
    claims[1] = NULL;
    responses[2] = idem_str("no json");
    ck_assert_int_eq(idem_complete_many(store, claims, responses, 3, NULL, &err),
                     IDEM_ERR_ARGUMENT);
    expect_batches(2, 2, 1);
    ck_assert_int_eq(idem_complete_many(store, &claims[1], &responses[1], 2, errors, &err),
                     IDEM_ERR_ARGUMENT);
    ck_assert_uint_eq(seen.count, 2);
    clear(3);
}
END_TEST

/* ------------------------------------------------------------------------------------- failures */

START_TEST(an_item_whose_reply_is_lost_is_repeated_alone)
{
    ask_for(8);
    seen.answers[0] = LOST;
    seen.only = "k3";
    ck_assert_int_eq(begin(8), IDEM_OK);
    expect_batches(2, 8, 1);
    for (size_t i = 0; i < 8; i++) {
        ck_assert_int_eq(outcomes[i].kind, IDEM_NEW);
        ck_assert_uint_eq(outcomes[i].attempt, 1);
    }
    seen.answers[2] = LOST;
    ck_assert_int_eq(idem_complete_many(store, claims, responses, 8, errors, &err), IDEM_OK);
    ck_assert_uint_eq(seen.count, 4);
    ck_assert_uint_eq(seen.sizes[3], 1);
    clear(8);
}
END_TEST

START_TEST(an_item_that_is_refused_for_good_has_its_own_error)
{
    static const answer answers[] = {REFUSED, LOST};
    static const int codes[] = {IDEM_ERR_UNAVAILABLE, IDEM_ERR_UNCERTAIN};
    ask_for(8);
    requests[3].timeout_ms = 60;
    seen.last = answers[_i];
    seen.only = "k3";
    ck_assert_int_eq(begin(8), codes[_i]);
    ck_assert_uint_ge(seen.count, 2);
    for (size_t i = 0; i < 8; i++) {
        ck_assert_int_eq(errors[i].code, i == 3 ? codes[_i] : IDEM_OK);
        ck_assert_int_eq(outcomes[i].kind, i == 3 ? 0 : IDEM_NEW);
    }
    ck_assert_ptr_nonnull(strstr(err.message, "number 4 of 8: "));
    clear(8);
}
END_TEST

START_TEST(a_store_that_is_gone_fails_every_item)
{
    static const answer answers[] = {REFUSED, LOST};
    static const int codes[] = {IDEM_ERR_UNAVAILABLE, IDEM_ERR_UNCERTAIN};
    ask_for(ITEMS_MAX);
    for (size_t i = 0; i < ITEMS_MAX; i++)
        requests[i].timeout_ms = 30;
    seen.last = answers[_i];
    uint64_t start = idem_monotonic_ms();
    ck_assert_int_eq(begin(ITEMS_MAX), codes[_i]);
    ck_assert_uint_lt(idem_monotonic_ms() - start, 5000);
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        ck_assert_int_eq(errors[i].code, codes[_i]);
        ck_assert_int_eq(outcomes[i].kind, 0);
    }
    clear(ITEMS_MAX);
}
END_TEST

/* ------------------------------------------------------------------------------------ deadlines */

/* The first submission is cut off by the shortest deadline: that one ends, the others go on. */
START_TEST(a_short_deadline_does_not_fail_those_beside_it)
{
    ask_for(4);
    for (size_t i = 0; i < 4; i++)
        requests[i].timeout_ms = i == 2 ? 1 : LONG_MS;
    seen.answers[0] = STALLED;
    ck_assert_int_eq(begin(4), IDEM_ERR_UNAVAILABLE);
    expect_batches(2, 4, 3);
    ck_assert_uint_le(seen.left_ms[0], 2);
    ck_assert_uint_gt(seen.left_ms[1], LONG_MS / 2);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(errors[i].code, i == 2 ? IDEM_ERR_UNAVAILABLE : IDEM_OK);
        ck_assert_int_eq(outcomes[i].kind, i == 2 ? 0 : IDEM_NEW);
    }
    clear(4);
}
END_TEST

/* --------------------------------------------------------------------------------- cancellation */

static void *begin_and_be_cancelled(void *argument)
{
    (void)argument;
    (void)begin(64);
    pthread_testcancel();
    return &err; /* nobody cancelled it */
}

/* A thread is cancelled while its batch is in the backend, asleep: it ends behind the call, which
   is done. */
START_TEST(a_thread_that_is_cancelled_ends_behind_its_batch)
{
    pthread_t thread;
    void *left = NULL;
    ask_for(64);
    requests[9].timeout_ms = 100; /* so long it stalls */
    seen.answers[0] = STALLED;
    seen.only = "k7";
    atomic_store(&stalled, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_and_be_cancelled, NULL), 0);
    while (!atomic_load(&stalled))
        sleep_until(idem_monotonic_ms() + 1);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    ck_assert_int_eq(pthread_join(thread, &left), 0);
    ck_assert_ptr_eq(left, PTHREAD_CANCELED);
    for (size_t i = 0; i < 64; i++)
        ck_assert_int_eq(outcomes[i].kind, IDEM_NEW);
    expect_batches(2, 64, 1);
    clear(64);
    ck_assert_int_eq(begin(64), IDEM_OK);
    for (size_t i = 0; i < 64; i++)
        ck_assert_int_eq(outcomes[i].kind, IDEM_IN_PROGRESS);
    clear(64);
}
END_TEST

/* Another call of the batch may take longer than one has that waits for its key. */
START_TEST(a_look_whose_time_is_over_is_not_sent)
{
    idem_outcome other;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("waits")), &other, &err),
                     IDEM_OK);
    memset(&seen, 0, sizeof seen);
    seen.only = "slow";
    seen.answers[0] = REFUSED;
    seen.last = STALLED;
    requests[0] = *IDEM_REQUEST(.key = idem_str("slow"), .timeout_ms = 1500);
    requests[1] = *IDEM_REQUEST(.key = idem_str("waits"), .timeout_ms = 300, .wait_ms = 100);
    ck_assert_int_ne(idem_begin_many(store, requests, 2, outcomes, errors, &err), IDEM_OK);
    ck_assert_int_eq(errors[0].code, IDEM_ERR_UNAVAILABLE);
    ck_assert_msg(errors[1].code == IDEM_OK, "%s", errors[1].message);
    ck_assert_int_eq(outcomes[1].kind, IDEM_IN_PROGRESS);
    for (size_t i = 0; i < seen.count; i++) /* each batch had time left */
        ck_assert_uint_gt(seen.left_ms[i], 0);
    clear(2);
    idem_outcome_clear(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("many");
    TCase *batches = tcase_create("batches");
    tcase_set_timeout(batches, 60);
    tcase_add_checked_fixture(batches, set_up, tear_down);
    tcase_add_test(batches, a_batch_is_one_submission);
    tcase_add_test(batches, takeovers_share_the_second_submission);
    tcase_add_test(batches, what_is_not_valid_is_not_sent);
    tcase_add_test(batches, an_item_whose_reply_is_lost_is_repeated_alone);
    tcase_add_loop_test(batches, an_item_that_is_refused_for_good_has_its_own_error, 0, 2);
    tcase_add_loop_test(batches, a_store_that_is_gone_fails_every_item, 0, 2);
    tcase_add_test(batches, a_short_deadline_does_not_fail_those_beside_it);
    tcase_add_test(batches, a_look_whose_time_is_over_is_not_sent);
    tcase_add_test(batches, a_thread_that_is_cancelled_ends_behind_its_batch);
    suite_add_tcase(suite, batches);
    return run_suite(suite);
}
