/* SPDX-License-Identifier: MIT */
/*
 * Two thousand calls in flight, submitted by four threads to one loop, in batches that lose replies in
 * the middle. Each call has one answer, each key is claimed and completed once, and everybody who asks
 * for it is given the response that its owner stored. The first operation is held at the store until
 * all calls are queued behind it, so that batches are as large as they can be.
 */
#include "faulty.h"
#include "gate.h"
#include "loop.h"
#include "place.h"
#include "runner.h"

#include <pthread.h>
#include <stdio.h>

#define THREADS 4u
#define KEYS    1000u
#define FAULTS  40u

typedef struct {
    const char *name;
    faulty_rule rule;
} fault;

/* clang-format off */
static const fault faults[] = {
    {"no fault", {.kind = FAULTY_NONE}},
    {"not done from some op on", {.kind = FAULTY_BEFORE, .whole = true}},
    {"done, all answers from some op on lost", {.kind = FAULTY_AFTER, .whole = true}},
    {"not done from some op on, which is not known",
     {.kind = FAULTY_BEFORE, .whole = true, .code = IDEM_ERR_UNCERTAIN}},
    {"one answer lost", {.kind = FAULTY_AFTER}},
    {"one op on its way too long", {.kind = FAULTY_DELAYED}},
};
/* clang-format on */

/* One of the two calls on a key. */
typedef struct {
    unsigned key;
    unsigned begun;
    unsigned completed;
    idem_outcome_kind kind;
} ask;

static idem_store *store;
static idem_async *async;
static gate entrance;
static ask asks[2 * KEYS];
static unsigned wrong;

static void note(bool holds, const char *what, const ask *mine, const idem_error *error)
{
    if (holds)
        return;
    wrong++;
    (void)fprintf(stderr, "key %u: %s (%d %s)\n", mine->key, what, error->code, error->message);
}

static void name_key(unsigned number, char key[16], char response[32])
{
    (void)snprintf(key, 16, "k-%u", number);
    (void)snprintf(response, 32, "{\"of\":%u}", number);
}

static void note_completed(void *user, const idem_error *error)
{
    ask *mine = user;
    mine->completed++;
    note(error->code == IDEM_OK, "complete", mine, error);
}

static void note_begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    ask *mine = user;
    char key[16];
    char response[32];
    idem_error refused = {.code = IDEM_OK};
    name_key(mine->key, key, response);
    mine->begun++;
    mine->kind = outcome->kind;
    note(error->code == IDEM_OK, "begin", mine, error);
    if (outcome->kind == IDEM_NEW) {
        note(outcome->attempt == 1, "taken over", mine, error);
        note(idem_async_complete(async, outcome->claim, idem_str(response), note_completed, mine,
                                 NULL, &refused) == IDEM_OK,
             "complete refused", mine, &refused);
    } else {
        note(outcome->kind == IDEM_COMPLETED && outcome->response.len == strlen(response) &&
                 memcmp(outcome->response.data, response, outcome->response.len) == 0,
             "another's answer", mine, error);
    }
    idem_outcome_clear(outcome);
}

static void *submit_part(void *argument)
{
    ask *first = argument;
    for (size_t i = 0; i < 2 * KEYS / THREADS; i++) {
        char key[16];
        char response[32];
        name_key(first[i].key, key, response);
        if (idem_async_begin(async, IDEM_REQUEST(.key = idem_str(key), .wait_ms = LONG_MS),
                             note_begun, &first[i], NULL, NULL))
            abort();
    }
    return NULL;
}

/* The first half of the calls asks for all keys, and so does the second, in another order. */
static void submit_all(void)
{
    pthread_t threads[THREADS];
    memset(asks, 0, sizeof asks);
    for (unsigned i = 0; i < KEYS; i++) {
        asks[i].key = i;
        asks[KEYS + i].key = i * 7 % KEYS;
    }
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, submit_part, &asks[i * 2 * KEYS / THREADS]), 0);
    gate_await(&entrance, 1);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
}

/* Fails the op that is the fifth behind the gate, and then every fiftieth. */
static void add_faults(const fault *with)
{
    faulty_clear();
    entrance = (gate)GATE_CLOSED;
    FAULTY(.before = gate_hold, .user = &entrance);
    for (uint64_t i = 0; i < FAULTS && with->rule.kind; i++) {
        faulty_rule rule = with->rule;
        rule.nth = 5 + 50 * i;
        (void)faulty_add(&rule);
    }
}

static void judge(void)
{
    unsigned news[KEYS] = {0};
    for (size_t i = 0; i < 2 * KEYS; i++) {
        ck_assert_uint_eq(asks[i].begun, 1);
        ck_assert_uint_eq(asks[i].completed, asks[i].kind == IDEM_NEW ? 1 : 0);
        news[asks[i].key] += asks[i].kind == IDEM_NEW;
    }
    for (unsigned number = 0; number < KEYS; number++) {
        char key[16];
        char response[32];
        idem_record record;
        name_key(number, key, response);
        ck_assert_uint_eq(news[number], 1);
        ck_assert_int_eq(idem_get(store, idem_str(key), &record, NULL), IDEM_OK);
        ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
        ck_assert_uint_eq(record.attempt, 1);
        ck_assert_uint_eq(record.response.len, strlen(response));
        ck_assert_mem_eq(record.response.data, response, strlen(response));
        idem_record_clear(&record);
    }
}

START_TEST(two_thousand_calls_in_flight_have_one_answer_each)
{
    uint64_t injected = 0;
    wrong = 0;
    idem_error error;
    store = place_open("faulty+", "async-batches", _i, "timeout=60s&lease=10m");
    ck_assert_msg(idem_async_open(store, &async, &error) == IDEM_OK, "%s", error.message);
    add_faults(&faults[_i]);
    submit_all();
    ck_assert_uint_eq(idem_async_pending(async), 2 * KEYS);
    gate_open(&entrance);
    loop_until_idle(async);
    for (size_t rule = 1; rule <= FAULTS && faults[_i].rule.kind; rule++)
        injected += faulty_hits(rule);
    faulty_clear();
    ck_assert_uint_eq(wrong, 0);
    if (faults[_i].rule.kind)
        ck_assert_uint_ge(injected, FAULTS / 2);
    judge();
    idem_async_close(async);
    idem_close(store);
    (void)printf("%s: %u calls on %u keys, %llu faults injected\n", faults[_i].name, 2 * KEYS, KEYS,
                 (unsigned long long)injected);
}
END_TEST

int main(void)
{
    place_start();
    faulty_require();
    Suite *suite = suite_create("async batches");
    ADD_ROWS(suite, two_thousand_calls_in_flight_have_one_answer_each, faults);
    int failed = run_suite(suite);
    place_end();
    return failed;
}
