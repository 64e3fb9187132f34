/* SPDX-License-Identifier: MIT */
/* replicas=N: a change counts once so many replicas have it. */
#include "between.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define BOTH "replicas=2&" PATIENT

static server copies[2];

static void stop_one(void)
{
    (void)kill(copies[1].pid, SIGSTOP);
}

static void continue_one(void)
{
    (void)kill(copies[1].pid, SIGCONT);
}

static void nothing(void *user)
{
    (void)user;
}

START_TEST(what_is_acknowledged_is_on_all_replicas)
{
    char key[32];
    idem_store *waits = open_url(redis.url, BOTH);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "acknowledged-%d", i);
        complete(waits, key, "1");
        for (int k = 0; k < 2; k++) {
            char *text = server_text(&copies[k], "GET %s", key);
            ck_assert_ptr_nonnull(strstr(text, "Completed"));
            free(text);
        }
    }
    idem_close(waits);
}
END_TEST

/* One of two has it: that is too few, and enough for who asks for one. */
START_TEST(too_few_replicas_by_the_deadline_are_uncertain)
{
    idem_outcome out;
    uint8_t token[IDEM_TOKEN_SIZE];
    memcpy(token, TOKEN, sizeof token);
    idem_request request;
    idem_request_init(&request);
    request.key = idem_str("uncertain");
    request.token = token;
    idem_store *waits = open_url(redis.url, "replicas=2&timeout=1500ms");
    idem_store *modest = open_url(redis.url, "replicas=1&" PATIENT);
    complete(waits, "replayed", "7");
    stop_one();
    assert_code(IDEM_ERR_UNCERTAIN, idem_begin(waits, &request, &out, &err));
    /* What the caller stored itself is not believed either, whoever asks for it again. */
    assert_code(IDEM_ERR_UNCERTAIN, idem_begin(waits, &request, &out, &err));
    complete(modest, "modest", "1");
    assert_replays(waits, "replayed", "7");
    continue_one();
    request.timeout_ms = 30000;
    assert_ok(idem_begin(waits, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
    idem_close(waits);
    idem_close(modest);
}
END_TEST

static void *continue_later(void *user)
{
    (void)user;
    wait_ms(1300);
    continue_one();
    return NULL;
}

START_TEST(a_replica_that_pauses_is_a_pause)
{
    pthread_t thread;
    idem_store *waits = open_url(redis.url, BOTH);
    stop_one();
    ck_assert_int_eq(pthread_create(&thread, NULL, continue_later, NULL), 0);
    complete(waits, "pause", "1");
    ck_assert_int_eq(server_number(&copies[1], "EXISTS pause"), 1);
    (void)pthread_join(thread, NULL);
    idem_close(waits);
}
END_TEST

/* The answer to the change came, and the connection ended in front of the replicas'. */
START_TEST(a_connection_that_ends_before_the_replicas_answer_is_asked_again)
{
    idem_store *waits = open_between(BOTH);
    complete(waits, "cut-0", "1");
    proxy_clear(between);
    once("$4\r\nWAIT\r\n$1\r\n2", PROXY_CLOSE);
    retries = 0;
    complete(waits, "cut-1", "1");
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_ge(retries, 1);
    idem_close(waits);
}
END_TEST

/* WAIT waits for the last write of its connection. That of a connection that has written nothing,
   as the one that a repetition is made on, would wait for nothing (Redis 7.2 and later). */
START_TEST(what_was_stored_over_another_connection_is_waited_for_too)
{
    idem_outcome out;
    idem_request request;
    uint8_t token[IDEM_TOKEN_SIZE];
    memcpy(token, TOKEN, sizeof token);
    idem_request_init(&request);
    request.key = idem_str("other-connection");
    request.token = token;
    stop_one();
    idem_store *first = open_url(redis.url, "replicas=2&timeout=1s");
    assert_code(IDEM_ERR_UNCERTAIN, idem_begin(first, &request, &out, &err));
    idem_close(first);
    server_do(&redis, "SCRIPT FLUSH");
    proxy_add(between, (proxy_rule){.match = "KEEPTTL",
                                    .action = PROXY_CALL,
                                    .times = PROXY_ALWAYS,
                                    .call = nothing});
    idem_store *second = open_url(proxy_url(between), "replicas=2&timeout=2s");
    int rc = idem_begin(second, &request, &out, &err);
    continue_one();
    assert_code(IDEM_ERR_UNCERTAIN, rc);
    ck_assert_int_ge(proxy_hits(between), 1); /* it is stored once more, whatever the server */
    request.timeout_ms = 30000;
    assert_ok(idem_begin(second, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    assert_ok(idem_complete(second, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    idem_close(second);
}
END_TEST

/* What a server that has just been started, or is held up, says to WAIT is no lack of a right. */
START_TEST(a_server_that_can_not_answer_yet_is_waited_for)
{
    static const char *const texts[] = {
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
    };
    proxy_add(between, (proxy_rule){.match = "$4\r\nWAIT\r\n$1\r\n0",
                                    .action = PROXY_ANSWER,
                                    .times = 1,
                                    .text = texts[_i]});
    idem_store *waits = open_url(proxy_url(between), BOTH);
    complete(waits, "loading", "1");
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_close(waits);
}
END_TEST

START_TEST(a_user_that_may_not_wait_is_told_at_once)
{
    char url[200];
    idem_store *waits = NULL;
    server_do(&redis, "ACL SETUSER hasty on >pw ~* +@all -wait");
    (void)snprintf(url, sizeof url, "redis://hasty:pw@127.0.0.1:%d?replicas=1", redis.port);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &waits, &err));
    assert_says("+wait");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis replicas");
    static const char *const options[] = {"--repl-diskless-sync-delay", "0", NULL};
    server_require();
    server_start(&redis, options);
    for (int i = 0; i < 2; i++) {
        server_start(&copies[i], options);
        server_do(&copies[i], "REPLICAOF 127.0.0.1 %d", redis.port);
    }
    while (server_number(&redis, "WAIT 2 1000") < 2)
        wait_ms(10);
    ADD_HERE(suite, what_is_acknowledged_is_on_all_replicas, 1);
    ADD_HERE(suite, too_few_replicas_by_the_deadline_are_uncertain, 1);
    ADD_HERE(suite, a_replica_that_pauses_is_a_pause, 1);
    ADD_HERE(suite, a_connection_that_ends_before_the_replicas_answer_is_asked_again, 1);
    ADD_HERE(suite, what_was_stored_over_another_connection_is_waited_for_too, 1);
    ADD_HERE(suite, a_server_that_can_not_answer_yet_is_waited_for, 3);
    ADD_HERE(suite, a_user_that_may_not_wait_is_told_at_once, 1);
    return run_suite(suite);
}
