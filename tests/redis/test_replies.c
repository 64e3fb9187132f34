/* SPDX-License-Identifier: MIT */
/*
 * What networks and servers do to commands and replies, done by a proxy: replies that are lost
 * after the command was carried out, connections that close, stalls, garbage, error replies, and a
 * server that is too old for SET with NX and GET.
 */
#include "proxy.h"
#include "redis_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define SET_NX_GET "\r\nNX\r\n$3\r\nGET\r\n"
#define SCRIPT     "EVALSHA"
#define COMPLETED  "Completed"

static server redis;
static proxy *between;
static idem_store *store;
static int retries;
static idem_error first_failure; /* of the call's own tries */

static void count_retry(void *user, const idem_event *event)
{
    (void)user;
    retries += event->kind == IDEM_EVENT_RETRY;
    if (retries > 1)
        return;
    first_failure.code = event->code;
    (void)snprintf(first_failure.message, sizeof first_failure.message, "%s", event->message);
}

static idem_store *open_between(const char *params)
{
    char url[200];
    idem_store *opened = NULL;
    idem_options options = {.size = sizeof options, .on_event = count_retry};
    (void)snprintf(url, sizeof url, "%s?%s", proxy_url(between), params);
    assert_ok(idem_open_with(url, &options, &opened, &err));
    return opened;
}

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    retries = 0;
    between = proxy_start(redis.port);
    store = open_between("");
    /* The server knows the scripts from here on. */
    complete(store, "warm-up", "1");
    idem_outcome out = claim(store, "warm-up-2");
    assert_begin(store, "warm-up-2", IDEM_IN_PROGRESS);
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    ck_assert_int_eq(proxy_connections(between), 1);
}

static void tear_down(void)
{
    idem_close(store);
    proxy_stop(between);
}

static void once(const char *match, proxy_action action)
{
    proxy_add(between, (proxy_rule){.match = match, .action = action, .times = 1});
}

static void always(const char *match, proxy_action action, const char *text)
{
    proxy_add(between,
              (proxy_rule){.match = match, .action = action, .times = PROXY_ALWAYS, .text = text});
}

/* Runs a call and fails unless it ends by its deadline. */
#define assert_in_time(limit_ms, call)                                                            \
    do {                                                                                          \
        uint64_t began_ = idem_monotonic_ms();                                                    \
        call;                                                                                     \
        uint64_t took_ = idem_monotonic_ms() - began_;                                            \
        ck_assert_msg(took_ <= (limit_ms) + SLACK, "it took %llu ms", (unsigned long long)took_); \
    } while (0)

/* ------------------------------------------------------------------------------- lost replies */

/* A begin or complete whose reply was lost is repeated over the new connection. */
START_TEST(a_begin_whose_reply_was_lost_is_new_with_attempt_1)
{
    once(KEY, PROXY_LOSE_REPLY);
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_eq(proxy_connections(between), 2);
    ck_assert_int_eq(retries, 1);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    assert_replays(store, KEY, "1");
}
END_TEST

START_TEST(a_takeover_whose_reply_was_lost_is_new_with_its_attempt)
{
    idem_outcome out;
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1), &out, &err));
    idem_outcome_clear(&out);
    proxy_clear(between);
    proxy_add(between,
              (proxy_rule){.match = "\"attempt\":2", .action = PROXY_LOSE_REPLY, .times = 1});
    do {
        out = begin_key(store, KEY);
    } while (out.kind == IDEM_IN_PROGRESS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 2);
    ck_assert_int_ge(proxy_hits(between), 1);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_complete_whose_reply_was_lost_is_ok_and_stored_once)
{
    idem_outcome out = claim(store, KEY);
    once(COMPLETED, PROXY_LOSE_REPLY);
    assert_ok(idem_complete(store, out.claim, idem_str("{\"n\":1}"), &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
    assert_replays(store, KEY, "{\"n\":1}");
}
END_TEST

START_TEST(a_renew_and_a_checkpoint_whose_replies_were_lost_are_ok)
{
    idem_outcome out = claim(store, KEY);
    once(SCRIPT, PROXY_LOSE_REPLY);
    assert_ok(idem_renew(store, out.claim, 0, &err));
    once("\"checkpoint\"", PROXY_LOSE_REPLY);
    assert_ok(idem_checkpoint(store, out.claim, idem_str("[7]"), &err));
    ck_assert_int_eq(proxy_hits(between), 2);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_release_whose_reply_was_lost_is_ok_and_the_key_is_free)
{
    idem_outcome out = claim(store, KEY);
    once(SCRIPT, PROXY_LOSE_REPLY);
    assert_ok(idem_release(store, out.claim, &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

START_TEST(replies_that_are_always_lost_end_uncertain_and_the_same_token_finds_its_claim)
{
    idem_outcome out;
    idem_request request = {.size = sizeof request,
                            .key = idem_str(KEY),
                            .timeout_ms = 300,
                            .token = (const uint8_t *)TOKEN};
    always(KEY, PROXY_LOSE_REPLY, NULL);
    assert_in_time(300, assert_code(IDEM_ERR_UNCERTAIN, idem_begin(store, &request, &out, &err)));
    proxy_clear(between);
    assert_ok(idem_begin(store, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------- closed connections */

/* check runs tests with SIGPIPE as it is: the default ends the process. */
START_TEST(a_connection_that_closes_under_a_write_does_not_end_the_process)
{
    static const proxy_action actions[] = {PROXY_CLOSE, PROXY_RESET};
    ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    idem_outcome out = claim(store, KEY);
    once(COMPLETED, actions[_i]);
    size_t size = (size_t)8 << 20;
    char *response = malloc(size);
    ck_assert_ptr_nonnull(response);
    memset(response, 'x', size);
    response[0] = response[size - 1] = '"';
    assert_ok(idem_complete(store, out.claim, (idem_bytes){response, size}, &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
    out = begin_key(store, KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert(out.response.len == size && memcmp(out.response.data, response, size) == 0);
    idem_outcome_clear(&out);
    free(response);
}
END_TEST

START_TEST(an_idle_connection_that_the_server_closed_is_replaced_unnoticed)
{
    idem_options options = {.size = sizeof options, .on_event = count_retry};
    idem_store *direct = NULL;
    assert_ok(idem_open_with(redis.url, &options, &direct, &err));
    idem_outcome out = claim(direct, KEY);
    server_do(&redis, "CLIENT KILL TYPE normal SKIPME yes");
    assert_ok(idem_complete(direct, out.claim, idem_str("1"), &err));
    ck_assert_int_eq(retries, 0);
    idem_outcome_clear(&out);
    idem_close(direct);
}
END_TEST

/* --------------------------------------------------------------------------------------- stalls */

START_TEST(a_stalled_server_is_waited_for_until_the_deadline_and_no_longer)
{
    idem_outcome out;
    idem_record record;
    idem_store *hasty = open_between("timeout=300ms");
    always("", PROXY_STALL, NULL);
    assert_in_time(300,
                   assert_code(IDEM_ERR_UNCERTAIN,
                               idem_begin(hasty, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err)));
    assert_says("did not answer by the deadline");
    assert_in_time(
        300, assert_code(IDEM_ERR_UNAVAILABLE, idem_get(hasty, idem_str(KEY), &record, &err)));
    proxy_clear(between);
    assert_code(IDEM_ERR_NOT_FOUND, idem_get(hasty, idem_str(KEY), &record, &err));
    idem_close(hasty);
}
END_TEST

START_TEST(a_server_that_accepts_and_says_nothing_is_given_up_after_connect_timeout)
{
    char url[200];
    idem_store *opened = NULL;
    always("PING", PROXY_STALL, NULL);
    (void)snprintf(url, sizeof url, "%s?connect_timeout=200ms", proxy_url(between));
    assert_in_time(200, assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &opened, &err)));
    (void)snprintf(url, sizeof url, "%s?timeout=150ms", proxy_url(between));
    assert_in_time(150, assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &opened, &err)));
    ck_assert_ptr_null(opened);
}
END_TEST

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

static int ignore_record(const idem_record *record, void *user)
{
    (void)record;
    (void)user;
    return 0;
}

static void ignore_finding(void *user, const idem_finding *finding)
{
    (void)user;
    ck_assert_ptr_nonnull(finding->mend);
}

START_TEST(scan_and_check_survive_garbage)
{
    idem_store *hasty = open_between("timeout=200ms");
    complete(hasty, KEY, "1");
    always("SCAN", PROXY_ANSWER, garbage[_i]);
    assert_in_time(
        200, assert_code(IDEM_ERR_UNAVAILABLE, idem_scan(hasty, NULL, ignore_record, NULL, &err)));
    always("INFO", PROXY_ANSWER, garbage[_i]);
    always("TIME", PROXY_ANSWER, garbage[_i]);
    assert_in_time(200, (void)idem_check(hasty, ignore_finding, NULL, &err));
    proxy_clear(between);
    assert_ok(idem_scan(hasty, NULL, ignore_record, NULL, &err));
    assert_ok(idem_check(hasty, ignore_finding, NULL, &err));
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
    {"-NOAUTH Authentication required.\r\n", IDEM_ERR_UNAVAILABLE, true, "password"},
    {"-WRONGPASS invalid username-password pair\r\n", IDEM_ERR_UNAVAILABLE, true, "password"},
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
    {"-ERR unknown command `SET`, with args beginning with: `charge-42` `{secret}`\r\n",
     IDEM_ERR_UNSUPPORTED, true, "Redis 6.2 or later"},
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
    idem_request request = {.size = sizeof request, .key = idem_str(KEY), .timeout_ms = 200};
    always(KEY, PROXY_ANSWER, row->reply);
    uint64_t began = idem_monotonic_ms();
    int rc = idem_begin(store, &request, &out, &err);
    uint64_t took = idem_monotonic_ms() - began;
    if (row->permanent) {
        ck_assert_int_eq(retries, 0);
        ck_assert_uint_lt(took, 150);
    } else {
        /* Of the last try the deadline may cut off the answer. */
        ck_assert(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN);
        ck_assert_int_gt(retries, 0);
        ck_assert_uint_ge(took, 150);
        ck_assert_uint_le(took, 200 + SLACK);
        err = first_failure;
    }
    ck_assert_int_eq(err.code, row->code);
    assert_says(row->says);
    assert_says("Redis at \"127.0.0.1\" port ");
    ck_assert_ptr_null(strstr(err.message, "secret"));
    proxy_clear(between);
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
    assert_begin(store, KEY, IDEM_NEW);
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

/* ----------------------------------------------------------------------- between two operations */

static void expire_key(void *user)
{
    (void)user;
    server_do(&redis, "DEL %s", KEY);
}

START_TEST(a_key_that_expires_between_two_operations_of_a_begin_is_claimed_by_an_insert)
{
    idem_outcome held = claim(store, KEY);
    /* The insert found it in progress; before its age is read it is gone. */
    proxy_add(between,
              (proxy_rule){.match = SCRIPT, .action = PROXY_CALL, .times = 1, .call = expire_key});
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(proxy_hits(between), 1);
    assert_code(IDEM_ERR_LOST, idem_complete(store, held.claim, idem_str("1"), &err));
    assert_ok(idem_complete(store, out.claim, idem_str("2"), &err));
    idem_outcome_clear(&held);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_key_that_expires_before_its_takeover_is_claimed_by_an_insert)
{
    idem_outcome out;
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1), &out, &err));
    idem_outcome_clear(&out);
    struct timespec pause = {.tv_nsec = 10000000};
    (void)nanosleep(&pause, NULL);
    proxy_add(between,
              (proxy_rule){
                  .match = "\"attempt\":2", .action = PROXY_CALL, .times = 1, .call = expire_key});
    out = claim(store, KEY); /* attempt 1 */
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_key_that_expires_before_its_completion_is_not_found_and_stays_absent)
{
    idem_outcome out = claim(store, KEY);
    proxy_add(
        between,
        (proxy_rule){.match = COMPLETED, .action = PROXY_CALL, .times = 1, .call = expire_key});
    assert_code(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
    idem_outcome_clear(&out);
}
END_TEST

static void complete_by_another_way(void *user)
{
    (void)user;
    server_do(&redis, "SET %s %s PX 1000", KEY,
              "{\"version\":\"00000000deadbeef\",\"status\":\"Completed\","
              "\"created_at\":\"2026-11-23T16:00:00.000Z\","
              "\"updated_at\":\"2026-11-23T16:00:01.250Z\",\"attempt\":1,\"lease_ms\":60000,"
              "\"ttl_ms\":1000,\"token\":\"30313233343536373839616263646566\",\"response\":7}");
}

/* With the old record and the new one's PTTL it would seem that the lease has expired. */
START_TEST(a_record_is_never_dated_by_another_ones_life)
{
    idem_outcome held = claim(store, KEY);
    idem_outcome out;
    proxy_add(between, (proxy_rule){.match = SCRIPT,
                                    .action = PROXY_CALL,
                                    .times = 1,
                                    .call = complete_by_another_way});
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .flags = IDEM_NO_TAKEOVER), &out,
                         &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    idem_outcome_clear(&out);
    idem_outcome_clear(&held);
}
END_TEST

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

int main(void)
{
    Suite *suite = suite_create("redis replies");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_begin_whose_reply_was_lost_is_new_with_attempt_1, 1);
    ADD_HERE(suite, a_takeover_whose_reply_was_lost_is_new_with_its_attempt, 1);
    ADD_HERE(suite, a_complete_whose_reply_was_lost_is_ok_and_stored_once, 1);
    ADD_HERE(suite, a_renew_and_a_checkpoint_whose_replies_were_lost_are_ok, 1);
    ADD_HERE(suite, a_release_whose_reply_was_lost_is_ok_and_the_key_is_free, 1);
    ADD_HERE(suite, replies_that_are_always_lost_end_uncertain_and_the_same_token_finds_its_claim,
             1);
    ADD_HERE(suite, a_connection_that_closes_under_a_write_does_not_end_the_process, 2);
    ADD_HERE(suite, an_idle_connection_that_the_server_closed_is_replaced_unnoticed, 1);
    ADD_HERE(suite, a_stalled_server_is_waited_for_until_the_deadline_and_no_longer, 1);
    ADD_HERE(suite, a_server_that_accepts_and_says_nothing_is_given_up_after_connect_timeout, 1);
    ADD_HERE(suite, a_reply_that_is_none_costs_the_connection_and_no_more, ROWS(garbage));
    ADD_HERE(suite, a_server_that_sends_garbage_is_an_error_by_the_deadline, ROWS(garbage));
    ADD_HERE(suite, scan_and_check_survive_garbage, ROWS(garbage));
    ADD_HERE(suite, an_error_reply_changes_nothing_and_says_what_to_do, ROWS(refusals));
    ADD_HERE(suite, a_server_that_is_loading_is_waited_for, 1);
    ADD_HERE(suite, a_store_can_be_opened_while_the_server_is_loading, 1);
    ADD_HERE(suite, after_a_failover_the_connection_is_made_anew, 1);
    ADD_HERE(suite, a_server_without_set_nx_get_is_asked_once_and_then_by_a_script, 1);
    ADD_HERE(suite, on_an_old_server_a_lost_reply_is_found_out_too, 1);
    ADD_HERE(suite, a_key_that_expires_between_two_operations_of_a_begin_is_claimed_by_an_insert,
             1);
    ADD_HERE(suite, a_key_that_expires_before_its_takeover_is_claimed_by_an_insert, 1);
    ADD_HERE(suite, a_key_that_expires_before_its_completion_is_not_found_and_stays_absent, 1);
    ADD_HERE(suite, a_record_is_never_dated_by_another_ones_life, 1);
    return run_suite(suite);
}
