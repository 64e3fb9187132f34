/* SPDX-License-Identifier: MIT */
/*
 * What servers answer instead of doing what they are told, said by a proxy: garbage, error replies,
 * and what a server says that is too old for SET with NX and GET.
 */
#include "between.h"

#include <sys/resource.h>

/* -------------------------------------------------------------------------------------- garbage */

static const char *const garbage[] = {
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    ":1\r\n",
    "+PONG\r\n",
    "*0\r\n",
    "*2\r\n:1\r\n:2\r\n",
    "*2147483647\r\n",
    "*60000\r\n*60000\r\n*60000\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "$-7\r\n",
    "$99999999999999999999\r\n",
};

START_TEST(a_reply_that_is_none_costs_the_connection_and_no_more)
{
    proxy_add(between,
              (proxy_rule){.match = KEY, .action = PROXY_ANSWER, .times = 1, .text = garbage[_i]});
    proxy_add(between, (proxy_rule){.match = KEY, .action = PROXY_CLOSE, .times = 1});
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(proxy_hits(between), 2);
    ck_assert_int_ge(proxy_connections(between), 2);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_server_that_sends_garbage_is_an_error_by_the_deadline)
{
    struct rusage before;
    struct rusage after;
    idem_outcome out;
    idem_record record;
    idem_store *hasty = open_between("timeout=200ms");
    (void)getrusage(RUSAGE_SELF, &before);
    always(KEY, PROXY_ANSWER, garbage[_i]);
    assert_in_time(200,
                   assert_code(IDEM_ERR_UNCERTAIN,
                               idem_begin(hasty, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err)));
    assert_in_time(
        200, assert_code(IDEM_ERR_UNAVAILABLE, idem_get(hasty, idem_str(KEY), &record, &err)));
    (void)getrusage(RUSAGE_SELF, &after);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 65536); /* KiB, sanitizers' own included */
    idem_close(hasty);
}
END_TEST

START_TEST(scan_and_check_survive_garbage)
{
    idem_store *hasty = open_between("timeout=200ms");
    complete(store, KEY, "1");
    always("SCAN", PROXY_ANSWER, garbage[_i]);
    assert_in_time(
        200, assert_code(IDEM_ERR_UNAVAILABLE, idem_scan(hasty, NULL, ignore_record, NULL, &err)));
    always("INFO", PROXY_ANSWER, garbage[_i]);
    always("TIME", PROXY_ANSWER, garbage[_i]);
    assert_in_time(200, (void)idem_check(hasty, ignore_finding, NULL, &err));
    proxy_clear(between);
    assert_ok(idem_scan(store, NULL, ignore_record, NULL, &err));
    assert_ok(idem_check(store, ignore_finding, NULL, &err));
    idem_close(hasty);
}
END_TEST

/* -------------------------------------------------------------------------------- error replies */

typedef struct {
    const char *reply;
    int code;
    bool permanent; /* not repeated until the deadline */
    const char *says;
} refusal;

static const refusal refusals[] = {
    {"-LOADING Redis is loading the dataset in memory\r\n", IDEM_ERR_UNAVAILABLE, false, "loading"},
    {"-BUSY Redis is busy running a script.\r\n", IDEM_ERR_UNAVAILABLE, false, "SCRIPT KILL"},
    {"-MASTERDOWN Link with MASTER is down\r\n", IDEM_ERR_UNAVAILABLE, false, "primary"},
    {"-READONLY You can't write against a read only replica.\r\n", IDEM_ERR_UNAVAILABLE, false,
     "name the primary"},
    {"-NOREPLICAS Not enough good replicas to write.\r\n", IDEM_ERR_UNAVAILABLE, false,
     "min-replicas-to-write"},
    {"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", IDEM_ERR_UNAVAILABLE, false,
     "node"},
    {"-CLUSTERDOWN The cluster is down\r\n", IDEM_ERR_UNAVAILABLE, false, "cluster"},
    {"-MOVED 3999 127.0.0.1:6381\r\n", IDEM_ERR_UNSUPPORTED, true, "cluster"},
    {"-ASK 3999 127.0.0.1:6381\r\n", IDEM_ERR_UNSUPPORTED, true, "cluster"},
    {"-CROSSSLOT Keys in request don't hash to the same slot\r\n", IDEM_ERR_UNSUPPORTED, true,
     "cluster"},
    /* The greeting was accepted: the next one logs on anew. */
    {"-NOAUTH Authentication required.\r\n", IDEM_ERR_UNAVAILABLE, false, "password"},
    {"-WRONGPASS invalid username-password pair\r\n", IDEM_ERR_UNAVAILABLE, false, "password"},
    {"-NOPERM this user has no permissions to run the 'set' command\r\n", IDEM_ERR_UNAVAILABLE,
     true, "allow set"},
    {"-DENIED Redis is running in protected mode\r\n", IDEM_ERR_UNAVAILABLE, true, "protected"},
    {"-ERR max number of clients reached\r\n", IDEM_ERR_UNAVAILABLE, false, "maxclients"},
    {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", IDEM_ERR_FULL, true,
     "maxmemory"},
    {"-MISCONF Errors writing to the AOF file: No space left on device\r\n", IDEM_ERR_UNAVAILABLE,
     true, "disk"},
    {"-ERR Protocol error: invalid bulk length\r\n", IDEM_ERR_TOO_LARGE, true,
     "proto-max-bulk-len"},
    {"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n", IDEM_ERR_TOO_LARGE, true,
     "proto-max-bulk-len"},
    {"-ERR unknown command `SET`, with args: `{secret}`\r\n", IDEM_ERR_UNSUPPORTED, true,
     "Redis 6.2 or later"},
    {"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", IDEM_ERR_CORRUPT,
     true, KEY},
    {"-@user_script: 3: -READONLY You can't write against a read only replica.\r\n",
     IDEM_ERR_UNAVAILABLE, false, "name the primary"},
    {"-ERR something\x01new\r\n", IDEM_ERR_INTERNAL, true, "something\\x01new"},
};

START_TEST(an_error_reply_changes_nothing_and_says_what_to_do)
{
    const refusal *row = &refusals[_i];
    idem_outcome out;
    idem_request request = {.size = sizeof request, .key = idem_str(KEY), .timeout_ms = 100};
    int rc;
    always(KEY, PROXY_ANSWER, row->reply);
    do { /* with more time if there was too little of it for any answer */
        retries = 0;
        request.timeout_ms *= 2;
        assert_in_time(request.timeout_ms, rc = idem_begin(store, &request, &out, &err));
    } while (strstr(err.message, "deadline") && request.timeout_ms < 10000);
    assert_code(row->code, rc);
    assert_says(row->says);
    assert_says("Redis at \"127.0.0.1\" port ");
    ck_assert_ptr_null(strstr(err.message, "secret"));
    ck_assert_msg((retries == 0) == row->permanent, "%d retries", retries);
    proxy_clear(between);
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

/* Not even by a server that repeats what it was told. */
START_TEST(what_is_said_to_the_greeting_is_not_repeated)
{
    static const char *const answers[] = {
        "-ERR unknown command 'AUTH', with args: 's3cr3t'\r\n",
        "-WRONGPASS s3cr3t\r\n",
        "-s3cr3t\r\n",
        "$6\r\ns3cr3t\r\n",
    };
    char url[PROXY_URL_SIZE + 32];
    idem_store *opened = NULL;
    always("AUTH", PROXY_ANSWER, answers[_i]);
    (void)snprintf(url, sizeof url, "redis://:s3cr3t@%s", strstr(proxy_url(between), "127"));
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &opened, &err));
    ck_assert_ptr_null(strstr(err.message, "s3cr3t"));
}
END_TEST

/* Neither what is said to the other commands of the greeting: they stand behind the password. */
START_TEST(what_is_said_behind_the_password_is_not_repeated)
{
    static const char *const answers[] = {
        "-ERR what is s3cr3t?\r\n",
        "-NOPERM s3cr3t\r\n",
        "-ERR Protocol error: s3cr3t\r\n",
    };
    char url[PROXY_URL_SIZE + 32];
    idem_store *opened = NULL;
    always("SELECT", PROXY_ANSWER, answers[_i]);
    proxy_add(between, (proxy_rule){.match = "AUTH",
                                    .action = PROXY_ANSWER,
                                    .times = PROXY_ALWAYS,
                                    .text = "+OK\r\n"});
    (void)snprintf(url, sizeof url, "redis://:s3cr3t@%s/3", strstr(proxy_url(between), "127"));
    ck_assert_int_ne(idem_open(url, &opened, &err), IDEM_OK);
    ck_assert_ptr_null(strstr(err.message, "s3cr3t"));
}
END_TEST

/* A server that won't take a value says so before it has read it, and reads no more. */
START_TEST(an_answer_is_heard_while_the_command_is_still_being_sent)
{
    size_t size = (size_t)8 << 20;
    char *response = malloc(size);
    ck_assert_ptr_nonnull(response);
    memset(response, '7', size);
    idem_outcome out = claim(store, KEY);
    always(COMPLETED, PROXY_ANSWER_EARLY, "-ERR Protocol error: invalid bulk length\r\n");
    assert_in_time(
        10000, assert_code(IDEM_ERR_TOO_LARGE,
                           idem_complete(store, out.claim, (idem_bytes){response, size}, &err)));
    proxy_clear(between);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    free(response);
}
END_TEST

START_TEST(a_server_that_is_loading_is_waited_for)
{
    proxy_add(between, (proxy_rule){.match = KEY,
                                    .action = PROXY_ANSWER,
                                    .times = 4,
                                    .text = "-LOADING Redis is loading the dataset in memory\r\n"});
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(retries, 4);
    ck_assert_int_eq(proxy_connections(between), 1);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_store_can_be_opened_while_the_server_is_loading)
{
    always("PING", PROXY_ANSWER, "-LOADING Redis is loading the dataset in memory\r\n");
    idem_store *opened = open_between("");
    idem_outcome out = claim(opened, KEY);
    idem_outcome_clear(&out);
    idem_close(opened);
}
END_TEST

START_TEST(after_a_failover_the_connection_is_made_anew)
{
    proxy_add(between,
              (proxy_rule){.match = KEY,
                           .action = PROXY_ANSWER,
                           .times = 1,
                           .text = "-READONLY You can't write against a read only replica.\r\n"});
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(proxy_connections(between), 2);
    idem_outcome_clear(&out);
}
END_TEST

/* ------------------------------------------------------------------------------- an old server */

/* A server that is really too old has refused in set_up() already. */
static int refusals_expected(void)
{
    return server_info(&redis, "server", "redis_version") < 7 ? 0 : 1;
}

START_TEST(a_server_without_set_nx_get_is_asked_once_and_then_by_a_script)
{
    always(SET_NX_GET, PROXY_ANSWER, "-ERR syntax error\r\n");
    for (int i = 0; i < 10; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "old-%d", i);
        complete(store, key, "1");
        assert_replays(store, key, "1");
    }
    ck_assert_int_eq(proxy_hits(between), refusals_expected());
    idem_outcome out = claim(store, KEY);
    assert_begin(store, KEY, IDEM_IN_PROGRESS);
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    ck_assert_int_eq(proxy_hits(between), refusals_expected());
    ck_assert_int_eq(retries, 0);
}
END_TEST

START_TEST(on_an_old_server_a_lost_reply_is_found_out_too)
{
    always(SET_NX_GET, PROXY_ANSWER, "-ERR syntax error\r\n");
    once("InProgress", PROXY_LOSE_REPLY);
    complete(store, "first", "1");
    proxy_clear(between);
    always(SET_NX_GET, PROXY_ANSWER, "-ERR syntax error\r\n");
    once(KEY, PROXY_LOSE_REPLY);
    complete(store, KEY, "1");
    assert_replays(store, KEY, "1");
}
END_TEST

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* That would be a connection more for a server that has too many already, and a quarter of a second
   for one that is no primary any more. */
START_TEST(a_server_that_has_answered_the_greeting_is_not_tried_for_tls)
{
    proxy_add(between, (proxy_rule){.match = "$4\r\nPING\r\n",
                                    .action = PROXY_ANSWER,
                                    .times = 1,
                                    .text = "-ERR max number of clients reached\r\n"});
    idem_store *other = open_between("");
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_eq(proxy_connections(between), 3);
    idem_close(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis refusals");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_reply_that_is_none_costs_the_connection_and_no_more, ROWS(garbage));
    ADD_HERE(suite, a_server_that_sends_garbage_is_an_error_by_the_deadline, ROWS(garbage));
    ADD_HERE(suite, scan_and_check_survive_garbage, ROWS(garbage));
    ADD_HERE(suite, an_error_reply_changes_nothing_and_says_what_to_do, ROWS(refusals));
    ADD_HERE(suite, what_is_said_to_the_greeting_is_not_repeated, 4);
    ADD_HERE(suite, what_is_said_behind_the_password_is_not_repeated, 3);
    ADD_HERE(suite, an_answer_is_heard_while_the_command_is_still_being_sent, 1);
    ADD_HERE(suite, a_server_that_is_loading_is_waited_for, 1);
    ADD_HERE(suite, a_store_can_be_opened_while_the_server_is_loading, 1);
    ADD_HERE(suite, after_a_failover_the_connection_is_made_anew, 1);
    ADD_HERE(suite, a_server_without_set_nx_get_is_asked_once_and_then_by_a_script, 1);
    ADD_HERE(suite, on_an_old_server_a_lost_reply_is_found_out_too, 1);
    ADD_HERE(suite, a_server_that_has_answered_the_greeting_is_not_tried_for_tls, 1);
    return run_suite(suite);
}
