/* SPDX-License-Identifier: MIT */
/*
 * Replies that nobody asked for, as a proxy that is out of step sends them: behind an answer,
 * before one, between those of a batch. None of them is ever taken for the answer to a call.
 */
#include "between.h"

#define TOGETHER 3

static const char *const strays[] = {"$-1\r\n", "+OK\r\n",        ":1\r\n",
                                     "*-1\r\n", "$-1\r\n$-1\r\n", "-ERR no\r\n"};
#define STRAYS (sizeof strays / sizeof strays[0])

static bool is_there(const char *key)
{
    return server_number(&redis, "EXISTS %s", key) == 1;
}

/* Begins a key, and fails if it is said to be new while no server knows of it. */
static void begin_honestly(const char *key)
{
    idem_outcome out;
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &err);
    ck_assert_msg(rc == IDEM_OK, "%s", err.message);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_msg(is_there(key), "%s is new, and the server does not know it", key);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    char *text = server_text(&redis, "GET %s", key);
    ck_assert_ptr_nonnull(strstr(text, COMPLETED));
    free(text);
}

/* The next command goes to a server that does not answer it any more: only a stray reply could. */
START_TEST(a_reply_behind_the_last_answer_is_not_the_next_ones)
{
    for (int i = 0; i < 10; i++) {
        char key[32];
        idem_record record;
        idem_outcome out;
        proxy_clear(between);
        proxy_add(between, (proxy_rule){.match = "first",
                                        .action = PROXY_STRAY_AFTER,
                                        .times = 1,
                                        .text = strays[_i]});
        proxy_add(between, (proxy_rule){.match = "second", .action = PROXY_CLOSE, .times = 1});
        (void)snprintf(key, sizeof key, "first-%d", i);
        int rc = idem_get(store, idem_str(key), &record, &err);
        ck_assert_msg(rc == IDEM_ERR_NOT_FOUND, "%d: %s", rc, err.message);
        wait_ms(3);
        (void)snprintf(key, sizeof key, "second-%d", i);
        assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &err));
        ck_assert_int_eq(out.kind, IDEM_NEW);
        ck_assert_msg(is_there(key), "%s is new, and the server does not know it", key);
        idem_outcome_clear(&out);
    }
}
END_TEST

START_TEST(a_reply_before_the_answer_is_not_the_answer)
{
    complete(store, KEY, "\"mine\"");
    proxy_clear(between);
    proxy_add(
        between,
        (proxy_rule){.match = KEY, .action = PROXY_STRAY_BEFORE, .times = 1, .text = strays[_i]});
    assert_replays(store, KEY, "\"mine\"");
    ck_assert_int_eq(proxy_hits(between), 1);
    proxy_clear(between);
    proxy_add(between,
              (proxy_rule){
                  .match = "other", .action = PROXY_STRAY_BEFORE, .times = 1, .text = strays[_i]});
    begin_honestly("other");
}
END_TEST

/* With one reply too many before them all answers would be those of the neighbours. */
START_TEST(a_batch_whose_answers_are_out_of_step_is_not_believed)
{
    static const char *const keys[TOGETHER] = {"first", "second", "third"};
    idem_request requests[TOGETHER];
    idem_outcome outcomes[TOGETHER];
    complete(store, "first", "\"first\"");
    complete(store, "third", "\"third\"");
    for (size_t i = 0; i < TOGETHER; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
    }
    for (size_t at = 0; at < TOGETHER; at++) {
        proxy_clear(between);
        proxy_add(between, (proxy_rule){.match = keys[at],
                                        .action = at ? PROXY_STRAY_AFTER : PROXY_STRAY_BEFORE,
                                        .times = 1,
                                        .text = strays[_i]});
        assert_ok(idem_begin_many(store, requests, TOGETHER, outcomes, NULL, &err));
        ck_assert_int_eq(proxy_hits(between), 1);
        for (size_t i = 0; i < TOGETHER; i += 2) {
            char expected[16];
            (void)snprintf(expected, sizeof expected, "\"%s\"", keys[i]);
            ck_assert_int_eq(outcomes[i].kind, IDEM_COMPLETED);
            ck_assert(outcomes[i].response.len == strlen(expected) &&
                      memcmp(outcomes[i].response.data, expected, strlen(expected)) == 0);
        }
        ck_assert_int_eq(outcomes[1].kind, IDEM_NEW);
        ck_assert(is_there("second"));
        assert_ok(idem_release(store, outcomes[1].claim, &err));
        for (size_t i = 0; i < TOGETHER; i++)
            idem_outcome_clear(&outcomes[i]);
    }
}
END_TEST

/* A claim's owner is not told that it completed what it did not. */
START_TEST(a_complete_is_not_answered_by_a_stray_reply)
{
    idem_outcome out = claim(store, KEY);
    proxy_clear(between);
    proxy_add(between, (proxy_rule){.match = COMPLETED,
                                    .action = PROXY_ANSWER,
                                    .times = 1,
                                    .text = _i % 2 ? "+OK\r\n+OK\r\n" : ":1\r\n"});
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    char *text = server_text(&redis, "GET %s", KEY);
    ck_assert_ptr_nonnull(strstr(text, COMPLETED));
    free(text);
    idem_outcome_clear(&out);
}
END_TEST

/* For a user without the right to ECHO, and a server that has none, there are other seals. */
START_TEST(without_echo_all_works_as_well)
{
    always("ECHO", PROXY_ANSWER,
           _i ? "-ERR unknown command 'ECHO'\r\n"
              : "-NOPERM this user has no permissions to run the 'echo' command\r\n");
    idem_store *other = open_between("");
    complete(other, KEY, "1");
    assert_replays(other, KEY, "1");
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_close(other);
}
END_TEST

#define NOT_ALLOWED(name) "-NOPERM this user has no permissions to run the '" name "' command\r\n"

static void refuse_always(const char *command, const char *text)
{
    proxy_add(between,
              (proxy_rule){
                  .match = command, .action = PROXY_ANSWER, .times = PROXY_ALWAYS, .text = text});
}

/* Half of the rows for a user without ECHO, half for one that has no PING either. */
START_TEST(without_echo_a_reply_before_the_answer_is_not_the_answer)
{
    idem_store *with_echo = store;
    refuse_always("$4\r\nECHO\r\n", NOT_ALLOWED("echo"));
    if (_i % 2)
        refuse_always("$4\r\nPING\r\n", NOT_ALLOWED("ping"));
    store = open_between("");
    complete(store, "warm-up-3", "1");
    proxy_add(between, (proxy_rule){.match = "other",
                                    .action = PROXY_STRAY_BEFORE,
                                    .times = 1,
                                    .text = strays[_i / 2]});
    server_do(&redis, "CLIENT PAUSE 50 WRITE"); /* the stray is there alone for a while */
    begin_honestly("other");
    assert_replays(store, "other", "1");
    idem_close(store);
    store = with_echo;
}
END_TEST

/* A server that is held up when it is connected to says nothing of seals: they come later. */
START_TEST(a_server_that_is_busy_when_it_is_greeted_is_sealed_all_the_same)
{
    static const char *const seals[] = {"$4\r\nECHO\r\n", "$4\r\nPING\r\n$16", "return ARGV[1]"};
    static const char *const texts[] = {
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n"};
    proxy_clear(between);
    for (size_t i = 0; i < 3; i++)
        proxy_add(
            between,
            (proxy_rule){.match = seals[i], .action = PROXY_ANSWER, .times = 1, .text = texts[_i]});
    idem_store *with_echo = store;
    store = open_between("");
    ck_assert_int_eq(proxy_hits(between), 1);
    complete(store, "warm-up-3", "1");
    proxy_clear(between);
    proxy_add(between,
              (proxy_rule){
                  .match = "other", .action = PROXY_STRAY_BEFORE, .times = 1, .text = "$-1\r\n"});
    server_do(&redis, "CLIENT PAUSE 50 WRITE"); /* the stray is there alone for a while */
    begin_honestly("other");
    idem_close(store);
    store = with_echo;
}
END_TEST

/* The answer came, and the connection ended in front of the seal: it may be another's. */
START_TEST(an_answer_without_its_seal_is_not_believed)
{
    proxy_clear(between);
    proxy_add(between,
              (proxy_rule){.match = KEY, .action = PROXY_ANSWER, .times = 1, .text = "$-1\r\n"});
    once("$4\r\nECHO\r\n", PROXY_CLOSE);
    begin_honestly(KEY);
    ck_assert_int_eq(proxy_hits(between), 2);
}
END_TEST

/* If the right is taken away later, the connection is made anew. */
START_TEST(an_echo_that_is_refused_later_costs_the_connection)
{
    always("ECHO", PROXY_ANSWER,
           "-NOPERM this user has no permissions to run the 'echo' command\r\n");
    begin_honestly(KEY);
    assert_replays(store, KEY, "1");
    ck_assert_int_eq(proxy_hits(between), 2);
    ck_assert_int_eq(proxy_connections(between), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis stray");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_reply_behind_the_last_answer_is_not_the_next_ones, STRAYS);
    ADD_HERE(suite, a_reply_before_the_answer_is_not_the_answer, STRAYS);
    ADD_HERE(suite, a_batch_whose_answers_are_out_of_step_is_not_believed, STRAYS);
    ADD_HERE(suite, a_complete_is_not_answered_by_a_stray_reply, 2);
    ADD_HERE(suite, without_echo_all_works_as_well, 2);
    ADD_HERE(suite, without_echo_a_reply_before_the_answer_is_not_the_answer, 2 * STRAYS);
    ADD_HERE(suite, a_server_that_is_busy_when_it_is_greeted_is_sealed_all_the_same, 2);
    ADD_HERE(suite, an_answer_without_its_seal_is_not_believed, 1);
    ADD_HERE(suite, an_echo_that_is_refused_later_costs_the_connection, 1);
    return run_suite(suite);
}
