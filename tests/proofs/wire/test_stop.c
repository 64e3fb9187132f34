/* SPDX-License-Identifier: MIT */
/*
 * A server that stands still (SIGSTOP): it accepts connections and never answers. Every call of
 * every kind ends within its timeout and 100 ms, alone and while many others wait, with an error
 * that is true; when the server goes on, so does the store, without being opened again.
 */
#include "lateness.h"
#include "load.h"
#include "options.h"
#include "store_test.h"

#include <idem/backend.h>

#include <runner.h>

#include <pthread.h>
#include <signal.h>

#define TIMEOUT_MS UINT64_C(200)
#define THREADS    16

static server redis;
static test_options options;
static idem_store *store;

/* --------------------------------------------------------------------------------- the calls */

typedef struct {
    unsigned number;
    char key[32];
    idem_claim *claim;
    uint8_t token[IDEM_TOKEN_SIZE];
    char failure[300];
    unsigned long calls;
    uint64_t latest_ms; /* the most that a call ended after its deadline, machine's lateness off */
} caller;

typedef struct {
    const char *name;
    int (*call)(caller *self, idem_error *error);
    bool reads; /* leaves no doubt */
} kind;

static int do_begin(caller *self, idem_error *error)
{
    idem_outcome out = {0};
    int rc =
        idem_begin(store, IDEM_REQUEST(.key = idem_str("new"), .token = self->token), &out, error);
    idem_outcome_clear(&out);
    return rc;
}

static int do_complete(caller *self, idem_error *error)
{
    return idem_complete(store, self->claim, idem_str("{\"n\":1}"), error);
}

static int do_renew(caller *self, idem_error *error)
{
    return idem_renew(store, self->claim, 0, error);
}

static int do_checkpoint(caller *self, idem_error *error)
{
    return idem_checkpoint(store, self->claim, idem_str("[1]"), error);
}

static int do_release(caller *self, idem_error *error)
{
    return idem_release(store, self->claim, error);
}

static int do_get(caller *self, idem_error *error)
{
    idem_record record = {0};
    int rc = idem_get(store, idem_str(self->key), &record, error);
    idem_record_clear(&record);
    return rc;
}

static int do_forget(caller *self, idem_error *error)
{
    (void)self;
    return idem_forget(store, idem_str("nobody's"), error);
}

static int do_resume(caller *self, idem_error *error)
{
    idem_claim *claim = NULL;
    int rc = idem_resume(store, idem_str(self->key), self->token, &claim, error);
    idem_claim_free(claim);
    return rc;
}

static int do_scan(caller *self, idem_error *error)
{
    (void)self;
    return idem_scan(store, NULL, ignore_record, NULL, error);
}

static int do_check(caller *self, idem_error *error)
{
    (void)self;
    return idem_check(store, ignore_finding, NULL, error);
}

static int do_open(caller *self, idem_error *error)
{
    char url[SERVER_URL_SIZE + 40];
    idem_store *opened = NULL;
    (void)self;
    (void)snprintf(url, sizeof url, "%s?timeout=%llums", redis.url, (unsigned long long)TIMEOUT_MS);
    int rc = idem_open(url, &opened, error);
    idem_close(opened);
    return rc;
}

static const kind kinds[] = {
    {"begin", do_begin, false},
    {"complete", do_complete, false},
    {"renew", do_renew, false},
    {"get", do_get, true},
    {"checkpoint", do_checkpoint, false},
    {"forget", do_forget, false},
    {"resume", do_resume, true},
    {"scan", do_scan, true},
    {"check", do_check, true},
    {"open", do_open, true},
    {"release", do_release, false},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* Makes a call of a server that stands still. */
static void call_stopped(caller *self, const kind *what)
{
    idem_error error;
    uint64_t began_ms = idem_monotonic_ms();
    int rc = what->call(self, &error);
    uint64_t took_ms = idem_monotonic_ms() - began_ms;
    uint64_t late_ms = lateness_since(began_ms);
    bool told = rc == IDEM_ERR_UNAVAILABLE || (rc == IDEM_ERR_UNCERTAIN && !what->reads);
    self->calls++;
    if (took_ms > TIMEOUT_MS + late_ms && took_ms - TIMEOUT_MS - late_ms > self->latest_ms)
        self->latest_ms = took_ms - TIMEOUT_MS - late_ms;
    if (!self->failure[0] && (!told || self->latest_ms > SLACK_MS))
        (void)snprintf(self->failure, sizeof self->failure, "%s gave %d (%s) after %llu ms",
                       what->name, rc, error.message, (unsigned long long)took_ms);
}

static void *call_all(void *user)
{
    caller *self = user;
    for (size_t i = 0; i < KINDS; i++)
        call_stopped(self, &kinds[(i + self->number) % KINDS]);
    return NULL;
}

/* ---------------------------------------------------------------------------------- the tests */

/* Sound again: the claim is this caller's if nobody released it, and completes. */
static void go_on(caller *self)
{
    idem_outcome out = {0};
    int rc = IDEM_ERR_UNAVAILABLE;
    for (int i = 0; i < 20 && rc != IDEM_OK; i++)
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(self->key), .token = self->token), &out,
                        NULL);
    ck_assert_int_eq(rc, IDEM_OK);
    ck_assert(out.kind == IDEM_NEW || out.kind == IDEM_COMPLETED);
    if (out.kind == IDEM_NEW) {
        rc = IDEM_ERR_UNAVAILABLE;
        for (int i = 0; i < 20 && rc != IDEM_OK; i++)
            rc = idem_complete(store, out.claim, idem_str("{\"n\":1}"), NULL);
        ck_assert_int_eq(rc, IDEM_OK);
    } else {
        ck_assert(out.response.len == 7 && memcmp(out.response.data, "{\"n\":1}", 7) == 0);
    }
    idem_outcome_clear(&out);
}

static void claim_key(caller *self, unsigned number)
{
    idem_outcome out = {0};
    *self = (caller){.number = number};
    (void)snprintf(self->key, sizeof self->key, "key-%u", number);
    memset(self->token, (int)number + 1, sizeof self->token);
    for (int i = 0; i < 20 && !out.claim; i++)
        (void)!idem_begin(store, IDEM_REQUEST(.key = idem_str(self->key), .token = self->token),
                          &out, NULL);
    ck_assert_ptr_nonnull(out.claim);
    self->claim = out.claim;
    out.claim = NULL;
    idem_outcome_clear(&out);
}

static void run_stopped(unsigned threads)
{
    static caller callers[THREADS];
    pthread_t ids[THREADS];
    uint64_t latest_ms = 0;
    unsigned long calls = 0;
    server_do(&redis, "FLUSHALL");
    lateness_watch();
    char params[40];
    (void)snprintf(params, sizeof params, "timeout=%llums", (unsigned long long)TIMEOUT_MS);
    store = open_hasty(redis.url, params, NULL);
    for (unsigned i = 0; i < threads; i++)
        claim_key(&callers[i], i);
    ck_assert_int_eq(kill(redis.pid, SIGSTOP), 0);
    for (unsigned i = 0; i < threads; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, call_all, &callers[i]), 0);
    for (unsigned i = 0; i < threads; i++)
        ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
    ck_assert_int_eq(kill(redis.pid, SIGCONT), 0);
    for (unsigned i = 0; i < threads; i++) {
        ck_assert_msg(!callers[i].failure[0], "%s", callers[i].failure);
        go_on(&callers[i]);
        idem_claim_free(callers[i].claim);
        calls += callers[i].calls;
        if (callers[i].latest_ms > latest_ms)
            latest_ms = callers[i].latest_ms;
    }
    idem_close(store);
    printf("wire_stop: %u threads, %lu calls of a stopped server, the latest ended %llu ms after "
           "its deadline\n",
           threads, calls, (unsigned long long)latest_ms);
}

START_TEST(every_call_of_a_stopped_server_ends_in_time_and_the_store_works_on)
{
    run_stopped(1);
}
END_TEST

START_TEST(many_calls_of_a_stopped_server_end_in_time_and_the_store_works_on)
{
    run_stopped(THREADS);
}
END_TEST

/* Stopped and continued under load: nothing is lost, doubled, or late. */
START_TEST(a_server_that_stops_and_goes_on_loses_nothing)
{
    lateness_watch();
    server_do(&redis, "FLUSHALL");
    load *all = load_start(&(load_plan){.url = redis.url,
                                        .prefix = "stop",
                                        .threads = 12,
                                        .timeout_ms = 100,
                                        .seed = options.seed});
    unsigned stops = 0;
    uint64_t until_ms = idem_monotonic_ms() + options.seconds * UINT64_C(1000);
    uint64_t random = options.seed;
    while (!load_failure(all) &&
           goes_on(until_ms, load_count(all).completes > 50 && load_count(all).failures > 0)) {
        struct timespec pause = {.tv_nsec = (10 + draw_below(&random, 300)) * 1000000L};
        ck_assert_int_eq(kill(redis.pid, ++stops % 2 ? SIGSTOP : SIGCONT), 0);
        (void)nanosleep(&pause, NULL);
    }
    ck_assert_int_eq(kill(redis.pid, SIGCONT), 0);
    load_stop(all);
    ck_assert_msg(!load_failure(all), "%s", load_failure(all));
    ck_assert_msg(load_is_held(all, &redis), "%s", load_failure(all));
    load_counts counts = load_count(all);
    printf("wire_stop: %u stops, %lu claims, %lu completes, %lu replays, %lu errors in between\n",
           (stops + 1) / 2, counts.claims, counts.completes, counts.replays, counts.failures);
    ck_assert_uint_gt(counts.completes, 50);
    ck_assert_uint_gt(counts.failures, 0);
    load_free(all);
}
END_TEST

int main(int count, char **words)
{
    Suite *suite = suite_create("wire stop");
    options = read_options(count, words, (test_options){.seconds = 3});
    server_require();
    server_start(&redis, NULL);
    ADD(suite, every_call_of_a_stopped_server_ends_in_time_and_the_store_works_on);
    ADD(suite, many_calls_of_a_stopped_server_end_in_time_and_the_store_works_on);
    TCase *tcase = tcase_create("load");
    tcase_set_timeout(tcase, options.seconds * 2 + 60);
    tcase_add_test(tcase, a_server_that_stops_and_goes_on_loses_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
