/* SPDX-License-Identifier: MIT */
/* The wire between the library and a server, cut after any of its bytes; a server that is
   killed and comes back. Whatever the answer, it is honest, and a repeat by the same caller
   finds its own. */
#include "pg_test.h"
#include "relay.h"

#include <pthread.h>
#include <stdlib.h>

static pg_server server;
static relay *wire;
static idem_store *store;
static char relay_url[PG_URL_SIZE];

static void set_up(void)
{
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record");
    wire = relay_start(server.port, 1);
    (void)snprintf(relay_url, sizeof relay_url,
                   "postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable&gssencmode=disable",
                   relay_port(wire));
    store = NULL;
}

static void tear_down(void)
{
    idem_close(store);
    relay_stop(wire);
}

static long stride(void)
{
    const char *text = getenv("IDEM_CUTS_STRIDE");
    long number = text ? atol(text) : 0;
    return number > 0 ? number : 29;
}

/* A claim, its completion and its replay, the first or the second of which is cut. */
static void cycle_cut(relay_way way, relay_fault fault, size_t after, bool complete_too)
{
    char key[64];
    idem_outcome out;
    (void)snprintf(key, sizeof key, "cut-%d-%d-%zu-%d", (int)way, (int)fault, after, complete_too);
    if (!complete_too)
        relay_arm(wire, fault, way, after, false);
    assert_ok(
        idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS), &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    if (complete_too)
        relay_arm(wire, fault, way, after, false);
    assert_ok(idem_complete(store, out.claim, idem_str("\"done\""), &err));
    (void)relay_disarm(wire);
    idem_outcome_clear(&out);
    assert_replays(store, key, "\"done\"");
}

START_TEST(a_wire_that_is_cut_after_any_byte_changes_no_answer)
{
    static const relay_fault faults[] = {RELAY_CLOSE, RELAY_RESET};
    store = open_url(relay_url, "timeout=20s");
    assert_replays((complete(store, "warm", "1"), store), "warm", "1");
    for (size_t after = (size_t)_i; after < 900; after += (size_t)stride()) {
        relay_way way = after % 2 ? RELAY_TO_SERVER : RELAY_TO_CLIENT;
        cycle_cut(way, faults[after % 3 == 0], after, after % 5 < 2);
    }
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM pg_stat_activity WHERE state = "
                                        "'idle in transaction'"),
                     0);
}
END_TEST

START_TEST(a_server_that_says_nothing_more_is_left_at_the_deadline)
{
    idem_outcome out;
    static const uint8_t token[IDEM_TOKEN_SIZE] = "0123456789abcdef";
    store = open_url(relay_url, "timeout=20s");
    complete(store, "warm", "1");
    relay_arm(wire, RELAY_STALL, RELAY_TO_CLIENT, 0, true);
    int rc = IDEM_OK; /* either error is right, so a busy machine does no harm */
    assert_in_time(400, rc = idem_begin(store,
                                        IDEM_REQUEST(.key = idem_str("stalled"), .token = token,
                                                     .timeout_ms = 400),
                                        &out, &err));
    /* Nothing was changed if it was only looked up yet. */
    ck_assert(rc == IDEM_ERR_UNCERTAIN || rc == IDEM_ERR_UNAVAILABLE);
    (void)relay_disarm(wire);
    assert_ok(
        idem_begin(store, IDEM_REQUEST(.key = idem_str("stalled"), .token = token), &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(bytes_that_come_one_by_one_are_the_same_bytes)
{
    store = open_url(relay_url, "timeout=20s");
    relay_set_pace(wire, RELAY_BYTE_BY_BYTE);
    complete(store, "slow", "{\"a\":[1,2,3]}");
    relay_set_pace(wire, RELAY_SPLIT);
    assert_replays(store, "slow", "{\"a\":[1,2,3]}");
}
END_TEST

/* ------------------------------------------------------------------------------------- killed */

#define WORKERS 4

typedef struct {
    unsigned number;
    const bool *on;
    unsigned cycles;
    unsigned wrong;
} worker;

static void *work(void *user)
{
    worker *self = user;
    while (__atomic_load_n(self->on, __ATOMIC_ACQUIRE)) {
        char key[32];
        idem_outcome out;
        idem_error error;
        unsigned cycle = __atomic_fetch_add(&self->cycles, 1, __ATOMIC_RELAXED);
        (void)snprintf(key, sizeof key, "kill%u-%u", self->number, cycle);
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = 30000), &out,
                       &error)) {
            self->wrong++;
            continue;
        }
        self->wrong += out.kind != IDEM_NEW || out.attempt != 1 ||
                       idem_complete(store, out.claim, idem_str(key + 6), &error) != IDEM_OK;
        idem_outcome_clear(&out);
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = 30000), &out,
                       &error))
            continue;
        self->wrong += out.kind != IDEM_COMPLETED || out.response.len != strlen(key + 6) ||
                       memcmp(out.response.data, key + 6, out.response.len) != 0;
        idem_outcome_clear(&out);
    }
    return NULL;
}

static void await_cycles(const worker *workers, unsigned more)
{
    unsigned from = 0;
    unsigned now = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        from += __atomic_load_n(&workers[i].cycles, __ATOMIC_RELAXED);
    for (int tries = 0; now < from + more && tries < 30000; tries++, wait_ms(1)) {
        now = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            now += __atomic_load_n(&workers[i].cycles, __ATOMIC_RELAXED);
    }
    ck_assert_uint_ge(now, from + more);
}

/* The cluster writes without fsync, which a killed process does not need. */
START_TEST(a_server_that_is_killed_again_and_again_loses_nothing)
{
    static const int ways[] = {SIGKILL, SIGQUIT, SIGINT, SIGKILL};
    static worker workers[WORKERS];
    pthread_t threads[WORKERS];
    pg_server mortal;
    bool on = true;
    pg_start(&mortal, NULL); /* a test stops only what it has started */
    store = open_url(mortal.tcp_url, "timeout=30s");
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.number = i, .on = &on};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        await_cycles(workers, 20 + 7 * (unsigned)i);
        pg_stop(&mortal, ways[i]);
        pg_again(&mortal, NULL);
    }
    await_cycles(workers, 20);
    __atomic_store_n(&on, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < WORKERS; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_msg(workers[i].wrong == 0, "%u of %u went wrong", workers[i].wrong,
                      workers[i].cycles);
    }
    idem_close(store);
    store = NULL;
    pg_remove(&mortal);
}
END_TEST

/* -------------------------------------------------------------------------- killed in a batch */

#define MANY 9

typedef struct {
    idem_outcome outcomes[MANY];
    idem_error errors[MANY];
    idem_error error;
    int rc;
} batch;

static void *begin_them(void *user)
{
    static const char *const keys[MANY] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    idem_request requests[MANY];
    batch *self = user;
    for (int i = 0; i < MANY; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
    }
    self->rc = idem_begin_many(store, requests, MANY, self->outcomes, self->errors, &self->error);
    return NULL;
}

/* In the middle of the rows, and of the commit; each once, by a server that waits there in its
   first life alone. */
static const char *const stages[] = {
    "CREATE TRIGGER nap BEFORE INSERT ON idem_record FOR EACH ROW EXECUTE FUNCTION nap()",
    "CREATE CONSTRAINT TRIGGER nap AFTER INSERT ON idem_record DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION nap()",
};

START_TEST(a_server_that_is_killed_in_the_middle_of_a_batch_loses_nothing)
{
    static const int ways[] = {SIGKILL, SIGQUIT};
    static batch calls;
    pthread_t thread;
    pg_server mortal;
    pg_start(&mortal, NULL);
    calls = (batch){.rc = -1};
    store = open_url(mortal.tcp_url, "timeout=60s");
    pg_do(&mortal, "CREATE TABLE life AS SELECT pg_postmaster_start_time() AS began;"
                   " CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                   " IF new.key = 'e' AND pg_postmaster_start_time() = (SELECT began FROM life)"
                   " THEN PERFORM pg_sleep(60); END IF; RETURN new; END $$");
    pg_do(&mortal, "%s", stages[_i]);
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_them, &calls), 0);
    pg_await(&mortal,
             "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND"
             " application_name = 'libidem'",
             1);
    pg_stop(&mortal, ways[_i]);
    pg_again(&mortal, NULL);
    (void)pthread_join(thread, NULL);
    ck_assert_msg(calls.rc == IDEM_OK, "%s", calls.error.message);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(calls.outcomes[i].kind, IDEM_NEW);
        ck_assert_uint_eq(calls.outcomes[i].attempt, 1);
        idem_outcome_clear(&calls.outcomes[i]);
    }
    ck_assert_int_eq(pg_number(&mortal, "SELECT count(*) FROM idem_record"), MANY);
    idem_close(store);
    store = NULL;
    pg_remove(&mortal);
}
END_TEST

int main(void)
{
    pg_require();
    lateness_watch();
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres faults");
    ADD_HERE(suite, a_wire_that_is_cut_after_any_byte_changes_no_answer, 3);
    ADD_HERE(suite, a_server_that_says_nothing_more_is_left_at_the_deadline, 1);
    ADD_HERE(suite, bytes_that_come_one_by_one_are_the_same_bytes, 1);
    ADD_HERE(suite, a_server_that_is_killed_again_and_again_loses_nothing, 1);
    ADD_HERE(suite, a_server_that_is_killed_in_the_middle_of_a_batch_loses_nothing, 2);
    return run_suite(suite);
}
