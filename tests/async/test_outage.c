/* SPDX-License-Identifier: MIT */
/*
 * A real server that stops answering, and one that is gone, with calls in flight: each call is told by
 * its deadline, an outcome that is not known is said to be so, and when the server is back the queue
 * goes on.
 */
#include "loop.h"
#include "runner.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>

#define CALLS      64
#define TIMEOUT_MS UINT64_C(800)
#define PROMPT_MS  UINT64_C(20000) /* far beyond it, on a slow machine too */

static server redis;
static idem_store *store;
static idem_async *async;
static answer told[CALLS];

static void set_up(void)
{
    char url[SERVER_URL_SIZE + 40];
    idem_error error;
    memset(told, 0, sizeof told);
    server_start(&redis, NULL);
    (void)snprintf(url, sizeof url, "%s?timeout=%llums", redis.unix_url,
                   (unsigned long long)TIMEOUT_MS);
    ck_assert_msg(idem_open(url, &store, &error) == IDEM_OK, "%s", error.message);
    ck_assert_msg(idem_async_open(store, &async, &error) == IDEM_OK, "%s", error.message);
}

static void tear_down(void)
{
    idem_async_close(async);
    idem_close(store);
    server_remove(&redis);
}

static void submit_all(const char *name, uint64_t timeout_ms)
{
    for (int i = 0; i < CALLS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s-%d", name, i);
        ck_assert_int_eq(idem_async_begin(async,
                                          IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS,
                                                       .timeout_ms = timeout_ms),
                                          on_begun, &told[i], NULL, NULL),
                         IDEM_OK);
    }
}

/* All calls end, as one that failed does. @return how many are in doubt */
static unsigned await_failures(void)
{
    unsigned uncertain = 0;
    uint64_t began = idem_monotonic_ms();
    loop_until_idle(async);
    ck_assert_uint_lt(idem_monotonic_ms() - began, PROMPT_MS);
    for (int i = 0; i < CALLS; i++) {
        int code = told[i].error.code;
        ck_assert_uint_eq(told[i].answers, 1);
        ck_assert_msg(code == IDEM_ERR_UNAVAILABLE || code == IDEM_ERR_UNCERTAIN, "%d %s", code,
                      told[i].error.message);
        uncertain += code == IDEM_ERR_UNCERTAIN;
        memset(&told[i], 0, sizeof told[i]);
    }
    return uncertain;
}

static void expect_it_goes_on(void)
{
    submit_all("afterwards", PROMPT_MS);
    loop_until_idle(async);
    for (int i = 0; i < CALLS; i++) {
        assert_told(told[i], IDEM_OK);
        ck_assert_int_eq(told[i].outcome.kind, IDEM_NEW);
        idem_outcome_clear(&told[i].outcome);
    }
}

START_TEST(a_server_that_is_gone_is_told_to_every_call)
{
    idem_outcome held = loop_claim(async, "held");
    server_kill(&redis);
    submit_all("gone", TIMEOUT_MS);
    (void)await_failures();
    server_again(&redis, NULL);
    expect_it_goes_on();
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_server_that_does_not_answer_leaves_a_doubt)
{
    idem_outcome held = loop_claim(async, "held");
    ck_assert_int_eq(kill(redis.pid, SIGSTOP), 0);
    submit_all("silent", TIMEOUT_MS);
    ck_assert_uint_ge(await_failures(), 1);
    ck_assert_int_eq(kill(redis.pid, SIGCONT), 0);
    expect_it_goes_on();
    idem_outcome_clear(&held);
}
END_TEST

/* Close waits for the batch that is at the server, until its deadline. */
START_TEST(close_is_bounded_by_the_deadlines_of_what_is_at_the_server)
{
    idem_outcome held = loop_claim(async, "held");
    ck_assert_int_eq(kill(redis.pid, SIGSTOP), 0);
    submit_all("closed", TIMEOUT_MS);
    uint64_t began = idem_monotonic_ms();
    idem_async_close(async);
    async = NULL;
    ck_assert_uint_lt(idem_monotonic_ms() - began, PROMPT_MS);
    for (int i = 0; i < CALLS; i++) {
        ck_assert_uint_eq(told[i].answers, 1);
        ck_assert(told[i].error.code == IDEM_ERR_UNAVAILABLE ||
                  told[i].error.code == IDEM_ERR_UNCERTAIN);
    }
    ck_assert_int_eq(kill(redis.pid, SIGCONT), 0);
    idem_outcome_clear(&held);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async outage");
    server_require();
    ADD_HERE(suite, a_server_that_is_gone_is_told_to_every_call, 1);
    ADD_HERE(suite, a_server_that_does_not_answer_leaves_a_doubt, 1);
    ADD_HERE(suite, close_is_bounded_by_the_deadlines_of_what_is_at_the_server, 1);
    return run_suite(suite);
}
