/* SPDX-License-Identifier: MIT */
/*
 * Replies lost in mid-batch: many threads on one store, whose operations share batches that fail as
 * a whole behind some op, or lose single answers, over and over. Every caller gets his own answer,
 * each key is claimed and completed once, and each response is the one that its owner stored.
 *
 * That batches are shared is made sure of: the first operation is held on its lane until the others
 * have had time to queue up behind it.
 */
#include "faulty.h"
#include "gate.h"
#include "place.h"

#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define THREADS 24
#define ROUNDS  6
#define LONG_MS UINT64_C(60000)

typedef struct {
    const char *name;
    faulty_rule rule;
} fault;

/* clang-format off */
static const fault faults[] = {
    {"not done from some op on", {.kind = FAULTY_BEFORE, .whole = true}},
    {"done, all answers from some op on lost", {.kind = FAULTY_AFTER, .whole = true}},
    {"not done from some op on, which is not known",
     {.kind = FAULTY_BEFORE, .whole = true, .code = IDEM_ERR_UNCERTAIN}},
    {"one answer lost", {.kind = FAULTY_AFTER}},
    {"one op on its way too long", {.kind = FAULTY_DELAYED}},
};
/* clang-format on */

static idem_store *store;
static gate entrance;
static atomic_int wrong;
static atomic_int news[THREADS * ROUNDS]; /* how many were told New, by key */

static void note(bool holds, const char *what, int number, const idem_error *err)
{
    if (holds)
        return;
    atomic_fetch_add(&wrong, 1);
    (void)fprintf(stderr, "key %d: %s (%d %s)\n", number, what, err->code, err->message);
}

static void name_key(int number, char key[16], char response[32])
{
    (void)snprintf(key, 16, "k-%d", number);
    (void)snprintf(response, 32, "{\"of\":%d}", number);
}

/* Begins a key, and completes it if it is new; else it has to be as another left it. */
static void work_on(int number)
{
    char key[16];
    char response[32];
    idem_error err;
    idem_outcome out;
    name_key(number, key, response);
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .wait_ms = LONG_MS), &out, &err);
    note(rc == IDEM_OK, "begin", number, &err);
    if (rc)
        return;
    if (out.kind == IDEM_NEW) {
        note(out.attempt == 1, "taken over", number, &err);
        atomic_fetch_add(&news[number], 1);
        rc = idem_complete(store, out.claim, idem_str(response), &err);
        note(rc == IDEM_OK, "complete", number, &err);
    } else {
        note(out.kind == IDEM_COMPLETED && out.response.len == strlen(response) &&
                 memcmp(out.response.data, response, out.response.len) == 0,
             "another's answer", number, &err);
    }
    idem_outcome_clear(&out);
}

/* Each key is asked for by two threads: its own, and the one beside it. */
static void *call_often(void *argument)
{
    int me = *(const int *)argument;
    for (int round = 0; round < ROUNDS; round++) {
        work_on(me * ROUNDS + round);
        work_on((me + 1) % THREADS * ROUNDS + round);
    }
    return NULL;
}

static void *open_soon(void *argument)
{
    gate_await(argument, 1);
    (void)usleep(30000);
    gate_open(argument);
    return NULL;
}

/* Fails the op that is the third of those behind the gate, and then ten in a hundred. */
static void add_faults(const fault *with)
{
    faulty_clear();
    entrance = (gate)GATE_CLOSED;
    FAULTY(.before = gate_hold, .user = &entrance);
    for (uint64_t nth = 3; nth < 60 * 10; nth += 10) {
        faulty_rule rule = with->rule;
        rule.nth = nth;
        (void)faulty_add(&rule);
    }
}

static void expect_all_completed(void)
{
    for (int number = 0; number < THREADS * ROUNDS; number++) {
        char key[16];
        char response[32];
        idem_record record;
        idem_error err;
        name_key(number, key, response);
        ck_assert_int_eq(atomic_load(&news[number]), 1);
        ck_assert_msg(idem_get(store, idem_str(key), &record, &err) == IDEM_OK, "%s", err.message);
        ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
        ck_assert_uint_eq(record.attempt, 1);
        ck_assert_uint_eq(record.response.len, strlen(response));
        ck_assert_mem_eq(record.response.data, response, strlen(response));
        idem_record_clear(&record);
    }
}

START_TEST(every_caller_gets_his_own_answer)
{
    pthread_t threads[THREADS];
    pthread_t opener;
    int numbers[THREADS];
    uint64_t injected = 0;
    store = place_open("faulty+", "batches", _i, "timeout=60s&lease=10m");
    add_faults(&faults[_i]);
    atomic_store(&wrong, 0);
    for (size_t i = 0; i < THREADS * ROUNDS; i++)
        atomic_store(&news[i], 0);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_soon, &entrance), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_join(opener, NULL);
    for (size_t rule = 1; rule <= 60; rule++)
        injected += faulty_hits(rule);
    faulty_clear();
    ck_assert_int_eq(atomic_load(&wrong), 0);
    ck_assert_uint_ge(injected, 30);
    expect_all_completed();
    idem_close(store);
    (void)printf("%s: %d threads, %d keys, %llu faults injected\n", faults[_i].name, THREADS,
                 THREADS * ROUNDS, (unsigned long long)injected);
}
END_TEST

int main(void)
{
    place_start();
    faulty_require();
    Suite *suite = suite_create("batches");
    ADD_ROWS(suite, every_caller_gets_his_own_answer, faults);
    int failed = run_suite(suite);
    place_end();
    return failed;
}
