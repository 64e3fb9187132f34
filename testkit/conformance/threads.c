/* SPDX-License-Identifier: MIT */
/*
 * Guarantees 1 and 9: many threads on two handles at once. Each thread writes down what it was
 * told; the main thread judges when all have ended, because a failed assertion must not leave a
 * thread. All threads start each round together.
 */
#include "conformance.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define ROUNDS      40
#define THREADS_MAX 8
#define CYCLES      20

typedef struct {
    idem_store *store;
    pthread_barrier_t *start;
    int number;
    const uint8_t *token;           /* of all, or NULL */
    idem_outcome (*claims)[ROUNDS]; /* to complete or renew, one per round; or NULL */
    int code[ROUNDS];
    idem_outcome_kind kind[ROUNDS];
    uint32_t attempt[ROUNDS];
    char problem[400];
} racer;

static racer racers[THREADS_MAX];
static idem_outcome held[ROUNDS];

static idem_bytes round_key(int round, char buf[32])
{
    (void)snprintf(buf, 32, "race-%d", round);
    return idem_str(buf);
}

/* One handle for half of the threads, the other for the rest. */
static int thread_count(void)
{
    return has(CONFORMANCE_THREADS) ? THREADS_MAX : 2;
}

/* Runs the first function in the first thread, the second in all others. */
static int race(void *(*first)(void *), void *(*rest)(void *), const uint8_t *token)
{
    pthread_t threads[THREADS_MAX];
    pthread_barrier_t start;
    int count = thread_count();
    (void)pthread_barrier_init(&start, NULL, (unsigned)count);
    memset(racers, 0, sizeof racers);
    for (int i = 0; i < count; i++) {
        racers[i] = (racer){.store = i % 2 ? other : one,
                            .start = &start,
                            .number = i,
                            .token = token,
                            .claims = &held};
        if (pthread_create(&threads[i], NULL, i == 0 ? first : rest, &racers[i]))
            abort(); /* the others would wait for ever */
    }
    for (int i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_barrier_destroy(&start);
    for (int i = 0; i < count; i++)
        ck_assert_msg(racers[i].problem[0] == '\0', "%s", racers[i].problem);
    return count;
}

static void note(racer *self, const char *call, int code, const idem_error *error)
{
    if (self->problem[0] == '\0')
        (void)snprintf(self->problem, sizeof self->problem, "thread %d: %s: %d %s", self->number,
                       call, code, error->message);
}

/* Begins every round's key. */
static void *begin_rounds(void *argument)
{
    racer *self = argument;
    for (int round = 0; round < ROUNDS; round++) {
        char buf[32];
        idem_error error;
        idem_outcome out;
        const idem_request *request =
            IDEM_REQUEST(.key = round_key(round, buf), .lease_ms = LONG_MS, .token = self->token);
        (void)pthread_barrier_wait(self->start);
        int rc = idem_begin(self->store, request, &out, &error);
        self->code[round] = rc;
        if (rc) {
            note(self, "begin", rc, &error);
            continue;
        }
        self->kind[round] = out.kind;
        self->attempt[round] = out.attempt;
        idem_outcome_clear(&out);
    }
    return NULL;
}

/* Changes the held claim of every round: completes it, or renews it. */
static void change_rounds(racer *self, bool complete)
{
    for (int round = 0; round < ROUNDS; round++) {
        idem_error error;
        idem_claim *claim = (*self->claims)[round].claim;
        (void)pthread_barrier_wait(self->start);
        int rc = complete ? idem_complete(self->store, claim, idem_str("\"old\""), &error)
                          : idem_renew(self->store, claim, LONG_MS, &error);
        self->code[round] = rc;
        if (rc != IDEM_OK && rc != IDEM_ERR_LOST)
            note(self, complete ? "complete" : "renew", rc, &error);
    }
}

static void *complete_rounds(void *argument)
{
    change_rounds(argument, true);
    return NULL;
}

static void *renew_rounds(void *argument)
{
    change_rounds(argument, false);
    return NULL;
}

/* Claims every round's key through `one` and lets all leases run out. */
static void hold_expired(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        char buf[32];
        held[round] = BEGIN(one, .key = round_key(round, buf), .lease_ms = 1);
        ck_assert_int_eq(held[round].kind, IDEM_NEW);
    }
    advance(1);
}

static void clear_held(void)
{
    for (int round = 0; round < ROUNDS; round++)
        idem_outcome_clear(&held[round]);
}

/* How many racers from `first` on were told this in a round. */
static int told(int first, int count, int round, idem_outcome_kind kind)
{
    int sum = 0;
    for (int i = first; i < count; i++)
        sum += racers[i].kind[round] == kind;
    return sum;
}

START_TEST(guarantee_1_of_many_threads_exactly_one_is_told_new)
{
    int count = race(begin_rounds, begin_rounds, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        ck_assert_int_eq(told(0, count, round, IDEM_NEW), 1);
        ck_assert_int_eq(told(0, count, round, IDEM_IN_PROGRESS), count - 1);
    }
}
END_TEST

START_TEST(guarantee_1_of_many_threads_exactly_one_takes_over)
{
    hold_expired();
    int count = race(begin_rounds, begin_rounds, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        ck_assert_int_eq(told(0, count, round, IDEM_NEW), 1);
        ck_assert_int_eq(told(0, count, round, IDEM_IN_PROGRESS), count - 1);
        for (int i = 0; i < count; i++)
            ck_assert_uint_eq(racers[i].attempt[round], 2);
        ck_assert_int_eq(idem_renew(one, held[round].claim, 0, NULL), IDEM_ERR_LOST);
    }
    clear_held();
}
END_TEST

START_TEST(guarantee_1_and_3_a_late_complete_and_a_takeover_never_both_succeed)
{
    hold_expired();
    int count = race(complete_rounds, begin_rounds, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        bool completed = racers[0].code[round] == IDEM_OK;
        ck_assert_int_eq(told(1, count, round, IDEM_NEW), completed ? 0 : 1);
        ck_assert_int_eq(told(1, count, round, IDEM_COMPLETED), completed ? count - 1 : 0);
    }
    clear_held();
}
END_TEST

START_TEST(guarantee_1_and_3_a_late_renewal_and_a_takeover_never_both_succeed)
{
    hold_expired();
    int count = race(renew_rounds, begin_rounds, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        bool renewed = racers[0].code[round] == IDEM_OK;
        ck_assert_int_eq(told(1, count, round, IDEM_NEW), renewed ? 0 : 1);
        ck_assert_int_eq(told(1, count, round, IDEM_IN_PROGRESS), count - 1 - (renewed ? 0 : 1));
    }
    clear_held();
}
END_TEST

START_TEST(guarantee_5_threads_with_one_token_are_one_caller)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {7};
    int count = race(begin_rounds, begin_rounds, token);
    for (int round = 0; round < ROUNDS; round++) {
        ck_assert_int_eq(told(0, count, round, IDEM_NEW), count);
        for (int i = 0; i < count; i++)
            ck_assert_uint_eq(racers[i].attempt[round], 1);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------- guarantee 9 */

/* Completes a key of this thread's own, and reads it back. False: something was wrong. */
static bool one_cycle(racer *self, int cycle, idem_error *error)
{
    char key[64];
    char response[64];
    idem_outcome out;
    (void)snprintf(key, sizeof key, "own-%d-%d", self->number, cycle);
    (void)snprintf(response, sizeof response, "{\"thread\":%d,\"n\":%d}", self->number, cycle);
    const idem_request *request = IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS);
    if (idem_begin(self->store, request, &out, error))
        return false;
    bool right = out.kind == IDEM_NEW && idem_renew(self->store, out.claim, 0, error) == IDEM_OK &&
                 idem_complete(self->store, out.claim, idem_str(response), error) == IDEM_OK;
    idem_outcome_clear(&out);
    if (!right || idem_begin(self->store == one && has(CONFORMANCE_THREADS) ? other : self->store,
                             request, &out, error))
        return false;
    right = out.kind == IDEM_COMPLETED && out.response.len == strlen(response) &&
            memcmp(out.response.data, response, strlen(response)) == 0;
    idem_outcome_clear(&out);
    return right;
}

static void *cycles(void *argument)
{
    racer *self = argument;
    idem_error error = {.code = IDEM_OK};
    (void)pthread_barrier_wait(self->start);
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        if (!one_cycle(self, cycle, &error))
            note(self, "a cycle went wrong", error.code, &error);
    }
    return NULL;
}

START_TEST(guarantee_9_threads_that_share_a_handle_do_not_disturb_each_other)
{
    int count = race(cycles, cycles, NULL);
    for (int i = 0; i < count; i++) {
        for (int cycle = 0; cycle < CYCLES; cycle++) {
            char key[64];
            idem_record record;
            (void)snprintf(key, sizeof key, "own-%d-%d", i, cycle);
            assert_ok(idem_get(one, idem_str(key), &record, &err));
            ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
            ck_assert_uint_eq(record.attempt, 1);
            idem_record_clear(&record);
        }
    }
}
END_TEST

/* How many threads have KEY at this moment, and how often somebody had. */
static atomic_int inside;
static atomic_int counted;

static void *count_under_claim(void *argument)
{
    racer *self = argument;
    idem_error error;
    (void)pthread_barrier_wait(self->start);
    for (int cycle = 0; cycle < CYCLES / 2; cycle++) {
        idem_outcome out;
        int rc =
            idem_begin(self->store, IDEM_REQUEST(.key = KEY, .lease_ms = LONG_MS, .wait_ms = 30000),
                       &out, &error);
        if (rc || out.kind != IDEM_NEW) {
            note(self, "begin", rc, &error);
            return NULL;
        }
        if (atomic_fetch_add(&inside, 1) != 0)
            note(self, "two threads have the claim", 0, &error);
        (void)atomic_fetch_add(&counted, 1);
        (void)atomic_fetch_sub(&inside, 1);
        rc = idem_release(self->store, out.claim, &error);
        idem_outcome_clear(&out);
        if (rc)
            note(self, "release", rc, &error);
    }
    return NULL;
}

START_TEST(guarantee_9_a_claim_is_a_lock_for_the_threads_that_wait_for_it)
{
    atomic_store(&inside, 0);
    atomic_store(&counted, 0);
    int count = race(count_under_claim, count_under_claim, NULL);
    ck_assert_int_eq(atomic_load(&counted), count * (CYCLES / 2));
    assert_absent();
}
END_TEST

void conformance_threads(Suite *suite)
{
    ADD(suite, "guarantee 1 threads", 0, ANY_TIME,
        guarantee_1_of_many_threads_exactly_one_is_told_new,
        guarantee_1_of_many_threads_exactly_one_takes_over,
        guarantee_1_and_3_a_late_complete_and_a_takeover_never_both_succeed,
        guarantee_1_and_3_a_late_renewal_and_a_takeover_never_both_succeed,
        guarantee_5_threads_with_one_token_are_one_caller);
    ADD(suite, "guarantee 9", 0, ANY_TIME,
        guarantee_9_threads_that_share_a_handle_do_not_disturb_each_other);
    ADD(suite, "guarantee 9 waiting", 0, REAL_TIME,
        guarantee_9_a_claim_is_a_lock_for_the_threads_that_wait_for_it);
}
