/* SPDX-License-Identifier: MIT */
/*
 * Listing: what is corrupt is listed as that, other programs' long values are not fetched, and a
 * server that leads round in circles is left.
 */
#include "between.h"

#define FOUND_MAX 64

static const char seed_completed[] =
    "{\"status\":\"Completed\",\"response\":1,\"created_at\":\"2026-11-23T16:00:00.000Z\","
    "\"updated_at\":\"2026-11-23T16:00:01.250Z\"}";

typedef struct {
    char key[64];
    idem_status status;
} found_record;

static found_record found[FOUND_MAX];
static size_t found_count;

static int keep(const idem_record *record, void *user)
{
    (void)user;
    ck_assert_uint_lt(found_count, FOUND_MAX);
    (void)snprintf(found[found_count].key, sizeof found[0].key, "%.*s", (int)record->key.len,
                   (const char *)record->key.data);
    found[found_count].status = record->status;
    if (record->status == IDEM_STATUS_CORRUPT) {
        ck_assert_uint_eq(record->response.len, 0);
        ck_assert_uint_eq(record->version, 0);
    }
    found_count++;
    return 0;
}

static void list(idem_store *at)
{
    found_count = 0;
    assert_ok(idem_scan(at, NULL, keep, NULL, &err));
}

static int status_of(const char *key)
{
    for (size_t i = 0; i < found_count; i++) {
        if (strcmp(found[i].key, key) == 0)
            return (int)found[i].status;
    }
    return 0;
}

/* -------------------------------------------------------------------------------------- corrupt */

static const char *const broken[] = {
    "SET broken hello",
    "SET broken 12",
    "APPEND broken {}",
    "SET broken [1,2]",
    "SET broken {\"version\":\"00000000deadbeef\",\"stat",
    "SET broken {\"status\":\"Pending\"}",
    "SETBIT broken 100 1",
    "RPUSH broken 1",
    "HSET broken a 1",
    "SADD broken 1",
    "ZADD broken 1 a",
    "XADD broken * a 1",
};
#define BROKEN (sizeof broken / sizeof broken[0])

START_TEST(what_begin_calls_corrupt_is_listed_as_that)
{
    idem_outcome out;
    idem_record record;
    server_do(&redis, broken[_i]);
    assert_code(IDEM_ERR_CORRUPT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str("broken")), &out, &err));
    assert_code(IDEM_ERR_CORRUPT, idem_get(store, idem_str("broken"), &record, &err));
    list(store);
    ck_assert_int_eq(status_of("broken"), IDEM_STATUS_CORRUPT);
    ck_assert_int_eq(status_of("warm-up"), IDEM_STATUS_COMPLETED);
    ck_assert_uint_eq(found_count, 2);
    ck_assert_int_eq(server_number(&redis, "EXISTS broken"), 1);
}
END_TEST

START_TEST(all_that_is_corrupt_can_be_asked_for_alone)
{
    idem_filter filter = {.size = sizeof filter, .status = IDEM_STATUS_CORRUPT};
    server_do(&redis, "SET %s %s", "of-the-seed", seed_completed);
    server_do(&redis, "SET a-text hello");
    server_do(&redis, "RPUSH a-list 1");
    found_count = 0;
    assert_ok(idem_scan(store, &filter, keep, NULL, &err));
    ck_assert_uint_eq(found_count, 2);
    ck_assert_int_eq(status_of("a-text"), IDEM_STATUS_CORRUPT);
    ck_assert_int_eq(status_of("a-list"), IDEM_STATUS_CORRUPT);
}
END_TEST

START_TEST(what_is_under_another_prefix_is_not_listed)
{
    idem_store *own = open_between("prefix=own:");
    server_do(&redis, "SET theirs hello");
    server_do(&redis, "RPUSH a-list 1");
    server_do(&redis, "RPUSH own:list 1");
    complete(own, KEY, "1");
    list(own);
    ck_assert_uint_eq(found_count, 2);
    ck_assert_int_eq(status_of("list"), IDEM_STATUS_CORRUPT);
    ck_assert_int_eq(status_of(KEY), IDEM_STATUS_COMPLETED);
    idem_close(own);
}
END_TEST

/* ---------------------------------------------------------------------------------- long values */

static long long sent_by_server(void)
{
    return server_info(&redis, "stats", "total_net_output_bytes");
}

/* 200 MiB of somebody else's, with a deadline in which they could not be fetched. */
START_TEST(a_long_value_of_others_is_not_fetched)
{
    idem_store *hasty = open_between("timeout=2s");
    if (_i)
        server_do(&redis, "SET huge %s", "[1,2,");
    server_do(&redis, "SETRANGE huge 209715200 x");
    long long before = sent_by_server();
    list(hasty);
    ck_assert_int_lt(sent_by_server() - before, 1 << 20);
    ck_assert_int_eq(status_of("huge"), IDEM_STATUS_CORRUPT);
    idem_close(hasty);
}
END_TEST

START_TEST(long_records_are_listed_in_steps)
{
    static const char script[] =
        "local s = string.rep('x', 4194304)\n"
        "for i = 1, 24 do redis.call('SET', 'long-' .. i, "
        "' {\"version\":\"00000000deadbeef\",\"status\":\"Completed\","
        "\"created_at\":\"2026-11-23T16:00:00.000Z\",\"updated_at\":\"2026-11-23T16:00:01.250Z\","
        "\"attempt\":1,\"lease_ms\":60000,\"ttl_ms\":600000,"
        "\"token\":\"30313233343536373839616263646566\",\"response\":\"' .. s .. '\"}') end";
    server_do(&redis, "EVAL %s 0", script);
    list(store);
    ck_assert_uint_eq(found_count, 25);
    for (size_t i = 0; i < found_count; i++)
        ck_assert_int_eq(found[i].status, IDEM_STATUS_COMPLETED);
}
END_TEST

/* -------------------------------------------------------------------------------------- cursors */

static const char *const cursors[] = {
    "*2\r\n$3\r\nabc\r\n*0\r\n",
    "*2\r\n$0\r\n\r\n*0\r\n",
    "*2\r\n$2\r\n-1\r\n*0\r\n",
    "*2\r\n$3\r\n7.0\r\n*0\r\n",
    "*2\r\n$20\r\n18446744073709551616\r\n*0\r\n",
    "*2\r\n$21\r\n000000000000000000000\r\n*1\r\n$1\r\n",
    "*2\r\n:0\r\n*0\r\n",
    "*2\r\n*0\r\n*0\r\n",
    "*2\r\n$1\r\n0\r\n*-1\r\n",
    "*2\r\n$1\r\n0\r\n$-1\r\n",
    "*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n",
    "*2\r\n$1\r\n0\r\n*1\r\n:7\r\n",
    "*3\r\n$1\r\n0\r\n*0\r\n*0\r\n",
    "$1\r\n0\r\n",
    "*-1\r\n",
    /* the same one for ever */
    "*2\r\n$1\r\n7\r\n*0\r\n",
};
#define CURSORS (sizeof cursors / sizeof cursors[0])

START_TEST(a_cursor_that_leads_nowhere_is_an_error_by_the_deadline)
{
    idem_store *hasty = open_between("timeout=1s");
    always("SCAN", PROXY_ANSWER, cursors[_i]);
    assert_in_time(1000,
                   assert_code(IDEM_ERR_UNAVAILABLE, idem_scan(hasty, NULL, keep, NULL, &err)));
    proxy_clear(between);
    list(hasty);
    idem_close(hasty);
}
END_TEST

/* A circle of three, after a way that leads into it. */
START_TEST(cursors_in_a_circle_are_an_error_by_the_deadline)
{
    static const char *const circle[] = {"*2\r\n$1\r\n5\r\n*0\r\n", "*2\r\n$1\r\n9\r\n*0\r\n",
                                         "*2\r\n$1\r\n8\r\n*0\r\n"};
    unsigned timeout_s = 1;
    idem_store *hasty = NULL;
    always("$1\r\n0\r\n$5\r\nMATCH", PROXY_ANSWER, circle[0]);
    always("$1\r\n5\r\n$5\r\nMATCH", PROXY_ANSWER, circle[1]);
    always("$1\r\n9\r\n$5\r\nMATCH", PROXY_ANSWER, circle[2]);
    always("$1\r\n8\r\n$5\r\nMATCH", PROXY_ANSWER, circle[0]);
    /* It may lead into a second page, which has a deadline of its own. More time is given if there
       was too little of it to go around. */
    do {
        char timeout[32];
        timeout_s *= 2;
        idem_close(hasty);
        (void)snprintf(timeout, sizeof timeout, "timeout=%us", timeout_s);
        hasty = open_between(timeout);
        assert_in_time(2000 * timeout_s,
                       assert_code(IDEM_ERR_UNAVAILABLE, idem_scan(hasty, NULL, keep, NULL, &err)));
    } while (!strstr(err.message, "in a circle") && timeout_s < 16);
    assert_says("in a circle");
    proxy_clear(between);
    list(hasty);
    idem_close(hasty);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis scan");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, what_begin_calls_corrupt_is_listed_as_that, BROKEN);
    ADD_HERE(suite, all_that_is_corrupt_can_be_asked_for_alone, 1);
    ADD_HERE(suite, what_is_under_another_prefix_is_not_listed, 1);
    ADD_HERE(suite, a_long_value_of_others_is_not_fetched, 2);
    ADD_HERE(suite, long_records_are_listed_in_steps, 1);
    ADD_HERE(suite, a_cursor_that_leads_nowhere_is_an_error_by_the_deadline, CURSORS);
    ADD_HERE(suite, cursors_in_a_circle_are_an_error_by_the_deadline, 1);
    return run_suite(suite);
}
