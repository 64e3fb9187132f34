/* SPDX-License-Identifier: MIT */
/*
 * Users with less than all rights. Whoever could not complete or release claims nothing; whoever
 * may only read is given what is there.
 */
#include "redis_test.h"

#define HELD     "held"
#define DONE     "done"
#define HASTE_MS UINT64_C(15000) /* far below the calls' timeout */

static server redis;
static idem_store *all; /* of a user with all rights */
static idem_outcome held;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    server_do(&redis, "SCRIPT FLUSH");
    all = open_url(redis.url, "");
    complete(all, DONE, "7");
    held = claim(all, HELD);
}

static void tear_down(void)
{
    idem_outcome_clear(&held);
    idem_close(all);
}

/* What redisCommand() would take for a format of its own. */
static void escape(const char *rules, char *out, size_t size)
{
    size_t len = 0;
    for (; *rules && len + 2 < size; rules++) {
        if (*rules == '%')
            out[len++] = '%';
        out[len++] = *rules;
    }
    out[len] = '\0';
}

/* Makes the user `app`, and a store of its own. */
static idem_store *open_as(const char *rules)
{
    char escaped[200];
    char command[300];
    char url[200];
    escape(rules, escaped, sizeof escaped);
    server_do(&redis, "ACL SETUSER app reset");
    (void)snprintf(command, sizeof command, "ACL SETUSER app on >secret %s", escaped);
    server_do(&redis, command);
    (void)snprintf(url, sizeof url, "redis://app:secret@127.0.0.1:%d", redis.port);
    return open_url(url, "timeout=60s");
}

static void assert_refuses(idem_store *store, const char *key, const char *says)
{
    idem_outcome out;
    uint64_t began = idem_monotonic_ms();
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &err));
    ck_assert_uint_lt(idem_monotonic_ms() - began, HASTE_MS);
    assert_says("allow set, get, pttl, del, eval, evalsha and scan");
    assert_says(says);
}

static long long calls_of(const char *command)
{
    char field[64];
    char *stats = server_text(&redis, "INFO commandstats");
    (void)snprintf(field, sizeof field, "\ncmdstat_%s:calls=", command);
    const char *at = strstr(stats, field);
    long long calls = at ? atoll(at + strlen(field)) : 0;
    free(stats);
    return calls;
}

/* ------------------------------------------------------------------------------------- claiming */

static const struct {
    const char *rules;
    const char *says;
} lacking[] = {
    {"~* +@all -@scripting", "'eval'"},
    {"~* +@all -eval", "'eval'"},
    {"~* +@all -del", "DEL"},
    {"~* +@all -set", "SET"},
    {"~* +@all -pttl", "PTTL"},
    {"~* +@all -get", "GET"},
    {"~other:* +@all", "keys"},
    {"%R~* +@all", "keys"},
    {"~* +@read +@connection", "'eval'"},
    {"~* +get +ping", "'eval'"},
};
#define LACKING (sizeof lacking / sizeof lacking[0])

/* Nor the second time, on the same connection; nor if the script is known to the server already. */
START_TEST(a_begin_without_a_right_that_a_claim_needs_claims_nothing)
{
    idem_store *store = open_as(lacking[_i].rules);
    for (int i = 0; i < 3; i++) {
        assert_refuses(store, KEY, lacking[_i].says);
        ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
        idem_outcome out = claim(all, "another");
        assert_ok(idem_release(all, out.claim, &err));
        idem_outcome_clear(&out);
    }
    idem_close(store);
}
END_TEST

START_TEST(all_of_a_batch_claim_nothing)
{
    idem_store *store = open_as(lacking[_i].rules);
    idem_request requests[4];
    idem_outcome outcomes[4];
    idem_error errors[4];
    static const char *const keys[] = {"a", "b", "c", "a"};
    for (size_t i = 0; i < 4; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
    }
    ck_assert_int_eq(idem_begin_many(store, requests, 4, outcomes, errors, &err),
                     IDEM_ERR_UNAVAILABLE);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(errors[i].code, IDEM_ERR_UNAVAILABLE);
        ck_assert_int_eq(server_number(&redis, "EXISTS %s", keys[i]), 0);
        idem_outcome_clear(&outcomes[i]);
    }
    idem_close(store);
}
END_TEST

/* A claim that stopped is not taken over by who could not end it; nor does an own one count as
   new. */
START_TEST(a_claim_is_not_taken_over_without_the_right_to_end_it)
{
    idem_outcome out;
    idem_store *store = open_as(_i ? "~* +@all -@scripting" : "~* +@all -del");
    assert_ok(idem_begin(all, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1), &out, &err));
    wait_ms(5);
    assert_refuses(store, KEY, _i ? "'eval" : "DEL");
    idem_record record;
    assert_ok(idem_get(all, idem_str(KEY), &record, &err));
    ck_assert_uint_eq(record.attempt, 1);
    idem_record_clear(&record);
    idem_request request = {
        .size = sizeof request, .key = idem_str(HELD), .token = idem_claim_token(held.claim)};
    idem_outcome again;
    assert_code(IDEM_ERR_UNAVAILABLE, idem_begin(store, &request, &again, &err));
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* EVALSHA only saves bytes. */
START_TEST(the_right_to_evalsha_is_not_needed)
{
    idem_store *store = open_as("~* +@all -evalsha");
    complete(store, KEY, "1");
    assert_replays(store, KEY, "1");
    assert_begin(store, HELD, IDEM_IN_PROGRESS);
    idem_outcome out = claim(store, "other");
    assert_ok(idem_renew(store, out.claim, 0, &err));
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(the_rights_of_the_documents_are_enough)
{
    idem_store *store = open_as(_i ? "~* +get +set +pttl +del +eval +evalsha +scan +strlen "
                                     "+getrange +echo +ping +select"
                                   : "~* +get +set +pttl +del +eval +evalsha");
    complete(store, KEY, "1");
    assert_replays(store, KEY, "1");
    idem_outcome out = claim(store, "other");
    assert_begin(store, "other", IDEM_IN_PROGRESS);
    assert_ok(idem_release(store, out.claim, &err));
    assert_ok(idem_forget(store, idem_str(KEY), &err));
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(a_right_that_is_taken_away_later_is_told_at_the_latest_by_complete)
{
    idem_store *store = open_as("~* +@all");
    complete(store, "warm-up", "1");
    idem_outcome out = claim(store, KEY);
    server_do(&redis, "ACL SETUSER app -@scripting");
    uint64_t began = idem_monotonic_ms();
    assert_code(IDEM_ERR_UNAVAILABLE, idem_complete(store, out.claim, idem_str("1"), &err));
    ck_assert_uint_lt(idem_monotonic_ms() - began, HASTE_MS);
    assert_says("allow set");
    assert_refuses(store, "new", "'eval'");
    ck_assert_int_eq(server_number(&redis, "EXISTS new"), 0);
    server_do(&redis, "ACL SETUSER app +@scripting -del");
    assert_refuses(store, "new", "DEL");
    server_do(&redis, "ACL SETUSER app +del");
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    assert_begin(store, "new", IDEM_NEW);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* It is made sure of once for a connection, and takes no round trip of its own then. */
START_TEST(rights_are_proved_once_for_a_connection)
{
    idem_store *store = open_as("~* +@all");
    long long before = server_info(&redis, "stats", "total_reads_processed");
    long long asking = server_info(&redis, "stats", "total_reads_processed") - before;
    before += asking;
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(server_info(&redis, "stats", "total_reads_processed") - before - asking, 1);
    idem_outcome_clear(&out);
    server_do(&redis, "CONFIG RESETSTAT");
    for (int i = 0; i < 10; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key-%d", i);
        out = claim(store, key);
        idem_outcome_clear(&out);
    }
    ck_assert_int_eq(calls_of("eval") + calls_of("evalsha"), 0);
    ck_assert_int_eq(calls_of("set"), 10);
    idem_close(store);
}
END_TEST

/* Whoever only replays is proved by what it finds. */
START_TEST(a_replay_proves_the_rights_too)
{
    idem_store *store = open_as("~* +@all");
    if (server_info(&redis, "server", "redis_version") >= 7) {
        assert_replays(store, DONE, "7");
        server_do(&redis, "CONFIG RESETSTAT");
        assert_replays(store, DONE, "7");
        ck_assert_int_eq(calls_of("eval") + calls_of("evalsha"), 0);
    }
    idem_close(store);
}
END_TEST

/* -------------------------------------------------------------------------------------- reading */

static int count_records(const idem_record *record, void *user)
{
    (void)record;
    ++*(int *)user;
    return 0;
}

static const char *const readers[] = {"~* +@read +@connection", "%R~* +get +pttl +scan",
                                      "~* +@all -@scripting -@write"};

START_TEST(the_right_to_read_is_enough_for_what_reads)
{
    idem_store *store = open_as(readers[_i]);
    idem_record record;
    int count = 0;
    for (int round = 0; round < 2; round++) {
        assert_ok(idem_get(store, idem_str(HELD), &record, &err));
        ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
        ck_assert_uint_lt(record.age_ms, 30000);
        idem_record_clear(&record);
        assert_replays(store, DONE, "7");
        assert_begin(store, HELD, IDEM_IN_PROGRESS);
        assert_code(IDEM_ERR_NOT_FOUND, idem_get(store, idem_str("none"), &record, &err));
        count = 0;
        assert_ok(idem_scan(store, NULL, count_records, &count, &err));
        ck_assert_int_eq(count, 2);
    }
    ck_assert_int_eq(server_number(&redis, "DBSIZE"), 2);
    idem_close(store);
}
END_TEST

/* How old a claim is can't be told without PTTL; a response needs no age. */
START_TEST(the_right_to_get_is_enough_for_replays)
{
    idem_store *store = open_as("~* +get");
    idem_outcome out;
    assert_replays(store, DONE, "7");
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(HELD)), &out, &err));
    idem_record record;
    assert_code(IDEM_ERR_UNAVAILABLE, idem_get(store, idem_str(HELD), &record, &err));
    assert_says("'pttl'");
    idem_close(store);
}
END_TEST

START_TEST(keys_that_may_not_be_touched_are_passed_over_by_scan)
{
    idem_store *store = open_as("~done* +@all");
    int count = 0;
    assert_ok(idem_scan(store, NULL, count_records, &count, &err));
    ck_assert_int_eq(count, 1);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis rights");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_begin_without_a_right_that_a_claim_needs_claims_nothing, LACKING);
    ADD_HERE(suite, all_of_a_batch_claim_nothing, LACKING);
    ADD_HERE(suite, a_claim_is_not_taken_over_without_the_right_to_end_it, 2);
    ADD_HERE(suite, the_right_to_evalsha_is_not_needed, 1);
    ADD_HERE(suite, the_rights_of_the_documents_are_enough, 2);
    ADD_HERE(suite, a_right_that_is_taken_away_later_is_told_at_the_latest_by_complete, 1);
    ADD_HERE(suite, rights_are_proved_once_for_a_connection, 1);
    ADD_HERE(suite, a_replay_proves_the_rights_too, 1);
    ADD_HERE(suite, the_right_to_read_is_enough_for_what_reads,
             (int)(sizeof readers / sizeof readers[0]));
    ADD_HERE(suite, the_right_to_get_is_enough_for_replays, 1);
    ADD_HERE(suite, keys_that_may_not_be_touched_are_passed_over_by_scan, 1);
    return run_suite(suite);
}
