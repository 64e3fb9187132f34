/* SPDX-License-Identifier: MIT */
/*
 * A server that answers nonsense. Whatever it sends, every call ends by its deadline with an error,
 * never with an outcome that nobody has vouched for; memory stays in bounds, whatever length was
 * announced; and a connection that has spoken nonsense is closed, so that the rest of it is never
 * taken for the answer to the next call.
 *
 * Memory is the process's largest resident size: sanitizers keep what was freed, so there it is
 * not asked for.
 */
#include "fake.h"
#include "store_test.h"
#include "lateness.h"

#include <idem/backend.h>

#include <runner.h>
#include <sanitized.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#define TIMEOUT_MS UINT64_C(80)
#if ADDRESS_SANITIZED || THREAD_SANITIZED
#define ASKS_FOR_MEMORY false
#else
#define ASKS_FOR_MEMORY true
#endif
/* All calls of a row run at once, each beside a thread that floods it: they wait for each other. */
#define CROWD_MS UINT64_C(150)
#define ROUNDS   2
#define KIB      1024L

typedef struct {
    const char *name;
    fake_script script;
    long limit_kib; /* of memory; 0: little */
    unsigned sound; /* calls that this is a sound answer to, as bits of their numbers */
} nonsense;

enum { GET, BEGIN, FORGET, RESUME, CHECK, SCAN, CALLS };

#define FOR(call) (1u << (call))
#define LITTLE    (24 * KIB) /* for all calls together, their threads included */
#define DEEP_8    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"

static const nonsense rows[] = {
    {"a status", {.answer = "+OK\r\n"}, 0, FOR(BEGIN)},
    {"a number", {.answer = ":1\r\n"}, 0, 0},
    {"a text", {.answer = "$3\r\nfoo\r\n"}, 0, 0},
    {"an empty array", {.answer = "*0\r\n"}, 0, 0},
    {"an array of nothing", {.answer = "*2\r\n$-1\r\n$-1\r\n"}, 0, 0},
    {"an array turned round", {.answer = "*2\r\n:1\r\n$1\r\nx\r\n"}, 0, 0},
    {"an array of arrays", {.answer = "*2\r\n*0\r\n*0\r\n"}, 0, 0},
    {"arrays without end", {.answer = "*2147483647\r\n", .flood = ":1\r\n"}, 0, 0},
    {"many arrays of the most", {.answer = "*65535\r\n", .flood = "*65535\r\n"}, 0, 0},
    {"the most that an array may have", {.answer = "*65536\r\n", .flood = "$-1\r\n"}, 64 * KIB, 0},
    {"nests without end", {.answer = DEEP_8, .flood = "*1\r\n"}, 0, 0},
    {"an array of 2^32 + 1", {.answer = "*4294967297\r\n:1\r\n"}, 0, 0},
    {"an array of 2^60", {.answer = "*1152921504606846977\r\n"}, 0, 0},
    {"an array of 2^64 + 1", {.answer = "*18446744073709551617\r\n:1\r\n"}, 0, 0},
    {"an array of -7", {.answer = "*-7\r\n"}, 0, 0},
    {"an array of letters", {.answer = "*x\r\n"}, 0, 0},
    {"a text of 2 GiB", {.answer = "$2147483648\r\n", .flood = "x"}, 0, 0},
    {"a text of 2 GiB - 1", {.answer = "$2147483647\r\n", .flood = "x"}, 0, 0},
    {"a text of 2^63 - 1", {.answer = "$9223372036854775807\r\n", .flood = "x"}, 0, 0},
    {"a text of 2^64 + 3", {.answer = "$18446744073709551619\r\nfoo\r\n"}, 0, 0},
    {"a text of -7", {.answer = "$-7\r\n"}, 0, 0},
    {"a text of letters", {.answer = "$abc\r\n"}, 0, 0},
    {"a text that has no end", {.answer = "$3\r\nfooXX+OK\r\n"}, 0, 0},
    {"a long text in the wrong place", {.answer = "$500000000\r\n", .flood = "x"}, 2048 * KIB, 0},
    {"a line without end", {.answer = "+", .flood = "x"}, 0, 0},
    {"an error without end", {.answer = "-ERR ", .flood = "x"}, 0, 0},
    {"a length without end", {.answer = "$", .flood = "0"}, 0, 0},
    {"a number without end", {.answer = ":", .flood = "1"}, 0, 0},
    {"a number of 2^63", {.answer = "*2\r\n$1\r\nx\r\n:9223372036854775808\r\n"}, 0, 0},
    {"a number that is none", {.answer = "*2\r\n$1\r\nx\r\n:1x\r\n"}, 0, 0},
    {"lives out of range", {.answer = "*2\r\n$2\r\n{}\r\n:9223372036854775807\r\n"}, 0, 0},
    {"a NUL in a line", {.answer = "+O\0K\r\n", .len = 6}, 0, 0},
    {"RESP3's nothing", {.answer = "_\r\n"}, 0, 0},
    {"RESP3's truth", {.answer = "#t\r\n"}, 0, 0},
    {"RESP3's double", {.answer = ",1.5\r\n"}, 0, 0},
    {"RESP3's map", {.answer = "%1\r\n+a\r\n:1\r\n"}, 0, 0},
    {"RESP3's map without end", {.answer = "%2147483647\r\n", .flood = ":1\r\n"}, 0, 0},
    {"RESP3's set", {.answer = "~1\r\n:1\r\n"}, 0, 0},
    {"RESP3's push", {.answer = ">2\r\n+invalidate\r\n*0\r\n$-1\r\n"}, 0, 0},
    {"RESP3's verbatim text", {.answer = "=7\r\ntxt:foo\r\n"}, 0, 0},
    {"RESP3's big number", {.answer = "(3492890328409238509324850943850943825024385\r\n"}, 0, 0},
    {"RESP3's stream", {.answer = "$?\r\n;3\r\nfoo\r\n;0\r\n"}, 0, 0},
    {"HTTP", {.answer = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>"}, 0, 0},
    {"zeros", {.answer = "\0", .len = 1, .flood = "\r\n"}, 0, 0},
    {"empty lines", {.answer = "\r\n", .flood = "\r\n"}, 0, 0},
    {"an answer too many", {.answer = "$-1\r\n$-1\r\n"}, 0, 0},
    /* The first nil is a sound answer to a forget: what comes later can't be foreseen. */
    {"answers without end", {.answer = "$-1\r\n", .flood = "$-1\r\n"}, 0, FOR(FORGET)},
    {"errors without end", {.answer = "-ERR no\r\n", .flood = "-ERR no\r\n"}, 0, 0},
    {"an empty error", {.answer = "-\r\n"}, 0, 0},
    {"scripts forgotten for ever", {.answer = "-NOSCRIPT No matching script\r\n"}, 0, 0},
    {"commands never known", {.answer = "-ERR syntax error\r\n"}, 0, 0},
    {"a scan without end", {.answer = "*2\r\n$1\r\n7\r\n*0\r\n"}, 0, 0},
    {"a cursor of letters", {.answer = "*2\r\n$3\r\nabc\r\n*0\r\n"}, 0, 0},
    {"a cursor of nothing", {.answer = "*2\r\n$0\r\n\r\n*0\r\n"}, 0, 0},
    {"a cursor below zero", {.answer = "*2\r\n$2\r\n-1\r\n*0\r\n"}, 0, 0},
    {"a cursor with a blank", {.answer = "*2\r\n$2\r\n 0\r\n*0\r\n"}, 0, 0},
    {"a cursor of 2^64", {.answer = "*2\r\n$20\r\n18446744073709551616\r\n*0\r\n"}, 0, 0},
    {"a cursor that is a number", {.answer = "*2\r\n:0\r\n*0\r\n"}, 0, 0},
    {"keys that are none", {.answer = "*2\r\n$1\r\n0\r\n*1\r\n:1\r\n"}, 0, 0},
    {"a nothing that is an array", {.answer = "*-1\r\n"}, 0, 0},
    {"a life before its end", {.answer = "*2\r\n$2\r\n{}\r\n:-3\r\n"}, 0, 0},
};

static long resident_kib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}

static int make_call(idem_store *store, int which, idem_error *error)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = "0123456789abcdef";
    idem_outcome out = {0};
    idem_record record = {0};
    idem_claim *claim = NULL;
    int rc = IDEM_OK;
    switch (which) {
    case GET:
        rc = idem_get(store, idem_str("k"), &record, error);
        idem_record_clear(&record);
        break;
    case BEGIN:
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, error);
        idem_outcome_clear(&out);
        break;
    case FORGET:
        rc = idem_forget(store, idem_str("k"), error);
        break;
    case RESUME:
        rc = idem_resume(store, idem_str("k"), token, &claim, error);
        idem_claim_free(claim);
        break;
    case CHECK:
        rc = idem_check(store, ignore_finding, NULL, error);
        break;
    case SCAN:
        rc = idem_scan(store, NULL, ignore_record, NULL, error);
        break;
    default:
        break;
    }
    return rc;
}

static idem_store *open_fake(fake *at)
{
    char url[40];
    char params[40];
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake_port(at));
    (void)snprintf(params, sizeof params, "timeout=%llums", (unsigned long long)TIMEOUT_MS);
    return open_hasty(url, params, NULL);
}

typedef struct {
    const nonsense *row;
    int which;
    fake *at;
    idem_store *store;
    int codes[ROUNDS];
    uint64_t late_ms; /* beyond the deadline and what the machine was late by */
    bool silent;      /* an error without a message */
} trial;

/* Twice: what the first call has left behind must not be taken by the second. */
static void *try_call(void *user)
{
    trial *self = user;
    for (int round = 0; round < ROUNDS; round++) {
        idem_error error;
        uint64_t began_ms = idem_monotonic_ms();
        self->codes[round] = make_call(self->store, self->which, &error);
        uint64_t took_ms = idem_monotonic_ms() - began_ms;
        uint64_t may_ms = TIMEOUT_MS + SLACK_MS + CROWD_MS + lateness_since(began_ms);
        if (took_ms > may_ms)
            self->late_ms = took_ms - may_ms;
        self->silent = self->silent || (self->codes[round] && !error.message[0]);
    }
    return NULL;
}

static void judge(const trial *at)
{
    const nonsense *row = at->row;
    ck_assert_msg(at->late_ms == 0, "%s, call %d: %llu ms too late", row->name, at->which,
                  (unsigned long long)at->late_ms);
    ck_assert_msg(!at->silent, "%s, call %d: no message", row->name, at->which);
    for (int round = 0; round < ROUNDS; round++) {
        int rc = at->codes[round];
        ck_assert_msg(rc != IDEM_OK || (row->sound & FOR(at->which)), "%s, call %d was ok",
                      row->name, at->which);
        ck_assert_msg(rc != IDEM_ERR_NO_MEMORY, "%s, call %d: no memory", row->name, at->which);
    }
}

START_TEST(nonsense_is_an_error_by_the_deadline_and_takes_little_memory)
{
    const nonsense *row = &rows[_i];
    pthread_t threads[CALLS];
    trial trials[CALLS];
    lateness_watch();
    for (int which = 0; which < CALLS; which++) {
        trials[which] = (trial){.row = row, .which = which, .at = fake_start(&row->script)};
        trials[which].store = open_fake(trials[which].at);
    }
    long before_kib = resident_kib();
    for (int which = 0; which < CALLS; which++)
        ck_assert_int_eq(pthread_create(&threads[which], NULL, try_call, &trials[which]), 0);
    for (int which = 0; which < CALLS; which++)
        ck_assert_int_eq(pthread_join(threads[which], NULL), 0);
    long grown_kib = resident_kib() - before_kib;
    for (int which = 0; which < CALLS; which++) {
        judge(&trials[which]);
        idem_close(trials[which].store);
        fake_stop(trials[which].at);
    }
    if (ASKS_FOR_MEMORY)
        ck_assert_msg(grown_kib <= (row->limit_kib ? row->limit_kib : LITTLE), "%s: %ld KiB",
                      row->name, grown_kib);
}
END_TEST

/* What comes before it was asked for is never an answer: with a nil too many in the greeting, a
   begin would be told New by a server that has never seen it. */
START_TEST(an_answer_that_came_too_early_is_never_taken)
{
    static const char *const greetings[] = {FAKE_GREETING "$-1\r\n", FAKE_GREETING "$-1\r\n$-1\r\n",
                                            FAKE_GREETING ":1\r\n", FAKE_GREETING "*0\r\n*",
                                            "+PONG\r\n$-1\r\n"};
    static const fake_script mute = {.answer = "+"};
    fake_script script = mute;
    char url[100];
    script.greeting = greetings[_i];
    lateness_watch();
    fake *at = fake_start(&script);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d?timeout=%llums", fake_port(at),
                   (unsigned long long)TIMEOUT_MS);
    idem_store *store = NULL;
    int rc = idem_open(url, &store, NULL);
    for (int which = 0; rc == IDEM_OK && which < CALLS; which++)
        ck_assert_msg(make_call(store, which, NULL) != IDEM_OK, "call %d was ok", which);
    ck_assert(rc == IDEM_OK || rc == IDEM_ERR_UNAVAILABLE);
    idem_close(store);
    fake_stop(at);
}
END_TEST

/* The connection that spoke nonsense is closed at once, not at the store's end. */
START_TEST(a_connection_that_spoke_nonsense_is_closed)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "*2147483647\r\n",
                                          "$2147483648\r\n", "$-1\r\n$-1\r\n", "+OK\r\n"};
    fake_script script = {.answer = answers[_i]};
    fake *at = fake_start(&script);
    idem_store *store = open_fake(at);
    ck_assert_int_ne(make_call(store, RESUME, NULL), IDEM_OK);
    uint64_t began_ms = idem_monotonic_ms();
    while (fake_open_connections(at) > 0)
        ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 10000);
    idem_close(store);
    fake_stop(at);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire nonsense");
    ADD_ROWS(suite, nonsense_is_an_error_by_the_deadline_and_takes_little_memory, rows);
    TCase *early = tcase_create("an_answer_that_came_too_early_is_never_taken");
    tcase_add_loop_test(early, an_answer_that_came_too_early_is_never_taken, 0, 5);
    suite_add_tcase(suite, early);
    TCase *closed = tcase_create("a_connection_that_spoke_nonsense_is_closed");
    tcase_add_loop_test(closed, a_connection_that_spoke_nonsense_is_closed, 0, 5);
    suite_add_tcase(suite, closed);
    return run_suite(suite);
}
