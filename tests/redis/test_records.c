/* SPDX-License-Identifier: MIT */
/*
 * What is in the server, written out literally: records of the format's first writer as we read
 * them, ours as its reader reads them (the four members that it knows, in the types that it
 * knows), and ages where somebody has changed a key's life by hand.
 */
#include "redis_test.h"

#include <inttypes.h>
#include <jansson.h>

#define SEED_IN_PROGRESS                                                      \
    "{\"status\":\"InProgress\",\"created_at\":\"2026-11-23T16:00:00.000Z\"," \
    "\"updated_at\":\"2026-11-23T16:00:00.000Z\"}"
#define SEED_COMPLETED                                                          \
    "{\"status\":\"Completed\",\"response\":{\"charged\":true,\"amount\":100}," \
    "\"created_at\":\"2026-11-23T16:00:00.000Z\",\"updated_at\":\"2026-11-23T16:00:01.250Z\"}"
#define OURS                                                                                   \
    "{\"version\":\"00000000deadbeef\",\"status\":\"InProgress\","                             \
    "\"created_at\":\"2026-11-23T16:00:00.000Z\",\"updated_at\":\"2026-11-23T16:00:01.250Z\"," \
    "\"attempt\":3,\"lease_ms\":60000,\"ttl_ms\":90000,"                                       \
    "\"token\":\"30313233343536373839616263646566\",\"fingerprint\":\"6670\","                 \
    "\"checkpoint\":[1, 2]}"

static const char unknown_status[] =
    "{\"status\":\"Pending\",\"created_at\":\"2026-11-23T16:00:00.000Z\","
    "\"updated_at\":\"2026-11-23T16:00:00.000Z\"}";

static server redis;
static idem_store *store;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    store = open_url(redis.url, "");
}

static void tear_down(void)
{
    idem_close(store);
}

static idem_record get_key(void)
{
    idem_record record;
    assert_ok(idem_get(store, idem_str(KEY), &record, &err));
    return record;
}

static idem_outcome begin_with(uint64_t flags)
{
    idem_outcome out;
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .flags = flags), &out, &err));
    return out;
}

/* ------------------------------------------------------------------- the first writer's records */

START_TEST(a_record_of_the_seed_in_progress_is_in_progress_until_its_key_expires)
{
    server_do(&redis, "SET %s %s PX 2000", KEY, SEED_IN_PROGRESS);
    idem_outcome out = begin_with(0);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_le(out.retry_after_ms, 2000);
    ck_assert_uint_gt(out.retry_after_ms, 1000);
    ck_assert_int_eq(out.created_at_ms, INT64_C(1795449600000));
    idem_outcome_clear(&out);
    char *kept = server_text(&redis, "GET %s", KEY);
    ck_assert_str_eq(kept, SEED_IN_PROGRESS);
    free(kept);
    server_do(&redis, "PEXPIRE %s 1", KEY);
    while (server_number(&redis, "EXISTS %s", KEY) != 0)
        continue;
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

START_TEST(a_record_of_the_seed_without_an_end_is_never_taken_over)
{
    server_do(&redis, "SET %s %s", KEY, SEED_IN_PROGRESS);
    idem_outcome out = begin_with(IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_eq(out.retry_after_ms, IDEM_DURATION_MAX_MS);
    idem_outcome_clear(&out);
    assert_begin(store, KEY, IDEM_IN_PROGRESS);
    assert_ok(idem_forget(store, idem_str(KEY), &err));
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

START_TEST(a_completed_record_of_the_seed_is_replayed)
{
    server_do(&redis, "SET %s %s PX 60000", KEY, SEED_COMPLETED);
    assert_replays(store, KEY, "{\"charged\":true,\"amount\":100}");
    idem_record record = get_key();
    ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
    ck_assert_int_eq(record.updated_at_ms - record.created_at_ms, 1250);
    ck_assert_uint_le(record.ttl_ms, 60000);
    ck_assert_uint_gt(record.ttl_ms, 50000);
    idem_record_clear(&record);
}
END_TEST

START_TEST(a_record_of_the_seed_without_a_response_is_replayed_as_null)
{
    server_do(&redis, "SET %s %s PX 60000", KEY,
              "{\"status\":\"Completed\",\"created_at\":\"2026-11-23T16:00:00.000Z\","
              "\"updated_at\":\"2026-11-23T16:00:00.000Z\"}");
    assert_replays(store, KEY, "null");
}
END_TEST

START_TEST(nobody_of_ours_can_complete_a_record_of_the_seed)
{
    idem_outcome out = claim(store, KEY);
    server_do(&redis, "SET %s %s PX 60000", KEY, SEED_IN_PROGRESS);
    assert_code(IDEM_ERR_LOST, idem_complete(store, out.claim, idem_str("1"), &err));
    assert_ok(idem_release(store, out.claim, &err));
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 1);
    idem_outcome_clear(&out);
}
END_TEST

/* ---------------------------------------------------------------------------------- our records */

START_TEST(a_record_of_ours_is_read_with_all_its_fields_and_its_age)
{
    server_do(&redis, "SET %s %s PX 140000", KEY, OURS); /* of 60 + 90 s */
    idem_record record = get_key();
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(record.version, 0xdeadbeef);
    ck_assert_uint_eq(record.attempt, 3);
    ck_assert_uint_eq(record.lease_ms, 60000);
    ck_assert_uint_eq(record.ttl_ms, 90000);
    ck_assert_int_eq(record.created_at_ms, INT64_C(1795449600000));
    ck_assert_int_eq(record.updated_at_ms, INT64_C(1795449601250));
    ck_assert(record.fingerprint.len == 2 && memcmp(record.fingerprint.data, "fp", 2) == 0);
    ck_assert(record.checkpoint.len == 6 && memcmp(record.checkpoint.data, "[1, 2]", 6) == 0);
    ck_assert_uint_ge(record.age_ms, 10000);
    ck_assert_uint_lt(record.age_ms, 15000);
    idem_record_clear(&record);
    idem_claim *held = NULL;
    assert_ok(idem_resume(store, idem_str(KEY), (const uint8_t *)TOKEN, &held, &err));
    assert_ok(idem_complete(store, held, idem_str("42"), &err));
    idem_claim_free(held);
}
END_TEST

START_TEST(what_we_write_is_this_text_to_the_byte)
{
    char expected[600];
    idem_outcome out;
    assert_ok(idem_begin(store,
                         IDEM_REQUEST(.key = idem_str(KEY), .fingerprint = idem_str("fp"),
                                      .token = (const uint8_t *)TOKEN, .lease_ms = 30000,
                                      .ttl_ms = 60000),
                         &out, &err));
    char *text = server_text(&redis, "GET %s", KEY);
    idem_record record = get_key();
    /* Times and version are the only parts that differ from run to run. */
    (void)snprintf(expected, sizeof expected,
                   "{\"version\":\"%016" PRIx64 "\",\"status\":\"InProgress\","
                   "\"created_at\":%.26s,\"updated_at\":%.26s,\"attempt\":1,\"lease_ms\":30000,"
                   "\"ttl_ms\":60000,\"token\":\"30313233343536373839616263646566\","
                   "\"fingerprint\":\"6670\"}",
                   record.version, strstr(text, "created_at\":") + 12,
                   strstr(text, "updated_at\":") + 12);
    ck_assert_str_eq(text, expected);
    ck_assert_int_gt(server_number(&redis, "PTTL %s", KEY), 85000); /* lease and ttl */
    ck_assert_int_le(server_number(&redis, "PTTL %s", KEY), 90000);
    free(text);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

/* RFC 3339 in UTC, with three decimals and Z: what the seed's reader takes. */
static bool is_seed_time(const json_t *value)
{
    static const char pattern[] = "0000-00-00T00:00:00.000Z";
    const char *text = json_string_value(value);
    if (!text || strlen(text) != strlen(pattern))
        return false;
    for (size_t i = 0; pattern[i]; i++) {
        if (pattern[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
            return false;
    }
    return true;
}

/* Reads the text at the key by the seed's rules. */
static json_t *read_as_the_seed(const char *status)
{
    char *text = server_text(&redis, "GET %s", KEY);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(root != NULL, "not JSON: %s", text);
    ck_assert_str_eq(json_string_value(json_object_get(root, "status")), status);
    ck_assert(is_seed_time(json_object_get(root, "created_at")));
    ck_assert(is_seed_time(json_object_get(root, "updated_at")));
    free(text);
    return root;
}

START_TEST(the_seed_reads_our_records_in_all_their_states)
{
    idem_outcome out = claim(store, KEY);
    json_t *root = read_as_the_seed("InProgress");
    ck_assert_ptr_null(json_object_get(root, "response"));
    json_decref(root);
    assert_ok(idem_checkpoint(store, out.claim, idem_str("{\"step\":1}"), &err));
    root = read_as_the_seed("InProgress");
    ck_assert_ptr_null(json_object_get(root, "response"));
    json_decref(root);
    assert_ok(idem_complete(store, out.claim, idem_str("{\"charged\":true,\"amount\":100}"), &err));
    root = read_as_the_seed("Completed");
    const json_t *response = json_object_get(root, "response");
    ck_assert_int_eq(json_integer_value(json_object_get(response, "amount")), 100);
    ck_assert(json_is_true(json_object_get(response, "charged")));
    json_decref(root);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(the_response_in_the_server_is_the_callers_own_bytes)
{
    static const char response[] = "[1.0, 1e2, 18446744073709551616, {}, [], \"\\u0000\"]";
    char expected[200];
    complete(store, KEY, response);
    char *text = server_text(&redis, "GET %s", KEY);
    (void)snprintf(expected, sizeof expected, ",\"response\":%s}", response);
    ck_assert(strlen(text) > strlen(expected));
    ck_assert_str_eq(text + strlen(text) - strlen(expected), expected);
    free(text);
    assert_replays(store, KEY, response);
}
END_TEST

/* --------------------------------------------------------------------------------------- ages */

START_TEST(an_expired_lease_is_seen_by_what_is_left_of_the_keys_life)
{
    server_do(&redis, "SET %s %s PX 89999", KEY, OURS); /* 60.001 s of 60 + 90 are over */
    idem_outcome out = begin_with(IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_DOUBT);
    ck_assert_uint_eq(out.attempt, 3);
    idem_outcome_clear(&out);
    out = begin_with(0);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 4);
    ck_assert(out.checkpoint.len == 6 && memcmp(out.checkpoint.data, "[1, 2]", 6) == 0);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_live_lease_is_seen_by_what_is_left_of_the_keys_life)
{
    server_do(&redis, "SET %s %s PX 95000", KEY, OURS); /* 55 s of 60 are over */
    idem_outcome out = begin_with(0);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_le(out.retry_after_ms, 5000);
    ck_assert_uint_gt(out.retry_after_ms, 1000);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_claim_whose_key_was_made_to_stay_is_not_taken_over)
{
    static const char *const lives[] = {"PERSIST " KEY, "PEXPIRE " KEY " 9999999"};
    server_do(&redis, "SET %s %s PX 1000", KEY, OURS);
    server_do(&redis, lives[_i]);
    idem_outcome out = begin_with(0);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_eq(out.retry_after_ms, 60000);
    idem_outcome_clear(&out);
    idem_claim *held = NULL;
    assert_ok(idem_resume(store, idem_str(KEY), (const uint8_t *)TOKEN, &held, &err));
    assert_ok(idem_renew(store, held, 0, &err));
    idem_claim_free(held);
    long long left = server_number(&redis, "PTTL %s", KEY);
    ck_assert(left > 140000 && left <= 150000);
}
END_TEST

/* Its lease would never end. An operator who knows that its owner is gone can end it. */
START_TEST(a_claim_whose_key_was_made_to_stay_can_be_settled)
{
    static const char *const lives[] = {"PERSIST " KEY, "PEXPIRE " KEY " 9999999"};
    idem_record record;
    server_do(&redis, "SET %s %s PX 1000", KEY, OURS);
    server_do(&redis, lives[_i]);
    assert_ok(idem_get(store, idem_str(KEY), &record, &err));
    ck_assert_uint_eq(record.flags, IDEM_RECORD_UNDATED);
    idem_record_clear(&record);
    assert_code(IDEM_ERR_LOST, idem_forget_expired(store, idem_str(KEY), &err));
    assert_says("idem settle");
    assert_ok(idem_settle(store, idem_str(KEY), idem_str("\"by hand\""), &err));
    assert_replays(store, KEY, "\"by hand\"");
    assert_ok(idem_get(store, idem_str(KEY), &record, &err));
    ck_assert_uint_eq(record.flags, 0);
    idem_record_clear(&record);
    ck_assert_int_gt(server_number(&redis, "PTTL %s", KEY), 0);
}
END_TEST

/* It can be read, but its version is not where it is compared. */
START_TEST(a_record_rewritten_by_hand_is_corrupt_at_once_and_can_be_forgotten)
{
    char rewritten[600];
    idem_outcome out;
    (void)snprintf(rewritten, sizeof rewritten, "{ %s", &OURS[1]);
    server_do(&redis, "SET %s %s PX 29999", KEY, rewritten); /* its lease has run out */
    uint64_t began_ms = idem_monotonic_ms();
    assert_code(IDEM_ERR_CORRUPT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says(KEY);
    assert_code(IDEM_ERR_CORRUPT, idem_settle(store, idem_str(KEY), idem_str("1"), &err));
    assert_code(IDEM_ERR_CORRUPT, idem_forget_expired(store, idem_str(KEY), &err));
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 15000); /* far below the calls' timeouts */
    assert_ok(idem_forget(store, idem_str(KEY), &err));
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

/* ---------------------------------------------------------------------------------- not records */

START_TEST(a_text_that_is_no_record_is_corrupt_and_stays)
{
    static const char *const texts[] = {
        "hello",        "",
        "{}",           "[1,2]",
        unknown_status, "{\"version\":\"00000000deadbeef\",\"status\":\"InProgress\"",
    };
    idem_record record;
    idem_outcome out;
    server_do(&redis, "SET %s %s", KEY, texts[_i]);
    assert_code(IDEM_ERR_CORRUPT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says(KEY);
    assert_code(IDEM_ERR_CORRUPT, idem_get(store, idem_str(KEY), &record, &err));
    assert_says(KEY);
    char *kept = server_text(&redis, "GET %s", KEY);
    ck_assert_str_eq(kept, texts[_i]);
    free(kept);
    assert_code(IDEM_ERR_CORRUPT, idem_forget(store, idem_str(KEY), &err));
    assert_says(KEY);
    assert_code(IDEM_ERR_CORRUPT, idem_forget_expired(store, idem_str(KEY), &err));
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 1);
    assert_ok(idem_forget_any(store, idem_str(KEY), &err));
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

START_TEST(a_key_of_another_type_is_corrupt_and_stays)
{
    static const char *const commands[] = {"RPUSH " KEY " 1", "HSET " KEY " a 1", "SADD " KEY " 1"};
    idem_record record;
    idem_outcome out;
    idem_outcome held = claim(store, KEY);
    server_do(&redis, "DEL %s", KEY);
    server_do(&redis, commands[_i]);
    assert_code(IDEM_ERR_CORRUPT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says(KEY);
    assert_says("something else than a record");
    assert_code(IDEM_ERR_CORRUPT, idem_get(store, idem_str(KEY), &record, &err));
    assert_code(IDEM_ERR_CORRUPT, idem_complete(store, held.claim, idem_str("1"), &err));
    assert_code(IDEM_ERR_CORRUPT, idem_release(store, held.claim, &err));
    assert_code(IDEM_ERR_CORRUPT, idem_forget(store, idem_str(KEY), &err));
    assert_code(IDEM_ERR_CORRUPT, idem_forget_expired(store, idem_str(KEY), &err));
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 1);
    assert_ok(idem_forget_any(store, idem_str(KEY), &err));
    assert_begin(store, KEY, IDEM_NEW);
    idem_outcome_clear(&held);
}
END_TEST

/* ------------------------------------------------------------------------------ edited by hand */

#define REST                                                                                     \
    "\"status\":\"InProgress\",\"created_at\":\"2026-11-23T16:00:00.000Z\","                     \
    "\"updated_at\":\"2026-11-23T16:00:01.250Z\",\"attempt\":3,\"lease_ms\":1,\"ttl_ms\":90000," \
    "\"token\":\"30313233343536373839616263646566\"}"

/* Records that can be read, and whose version is not where the server compares it. */
static const char *const edited[] = {
    "{ \"version\":\"00000000deadbeef\"," REST,
    " {\"version\":\"00000000deadbeef\"," REST,
    "{\"version\": \"00000000deadbeef\"," REST,
    "{\n  \"version\":\"00000000deadbeef\"," REST,
    "{\"note\":\"by hand\",\"version\":\"00000000deadbeef\"," REST,
    "{\"note\":{\"version\":\"00000000deadbeef\"},\"version\":\"00000000deadbeef\"," REST,
};
#define EDITED (sizeof edited / sizeof edited[0])

static long long commands(void)
{
    return server_info(&redis, "stats", "total_commands_processed");
}

/* It was read, so it is shown and can be forgotten; no change of it can be compared, so all are
   refused at once. */
START_TEST(a_record_edited_by_hand_is_corrupt_at_once_and_can_be_forgotten)
{
    idem_claim *held = NULL;
    idem_outcome out;
    server_do(&redis, "SET %s %s PX 60000", KEY, edited[_i]);
    idem_record record = get_key();
    ck_assert_uint_eq(record.attempt, 3);
    idem_record_clear(&record);
    long long before = commands();
    assert_code(IDEM_ERR_CORRUPT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says(KEY);
    assert_ok(idem_resume(store, idem_str(KEY), (const uint8_t *)TOKEN, &held, &err));
    assert_code(IDEM_ERR_CORRUPT, idem_renew(store, held, 0, &err));
    assert_says(KEY);
    assert_code(IDEM_ERR_CORRUPT, idem_complete(store, held, idem_str("1"), &err));
    assert_code(IDEM_ERR_CORRUPT, idem_checkpoint(store, held, idem_str("1"), &err));
    assert_code(IDEM_ERR_CORRUPT, idem_release(store, held, &err));
    ck_assert_int_lt(commands() - before, 60);
    char *kept = server_text(&redis, "GET %s", KEY);
    ck_assert_str_eq(kept, edited[_i]);
    free(kept);
    idem_claim_free(held);
    before = commands();
    assert_ok(idem_forget(store, idem_str(KEY), &err));
    ck_assert_int_lt(commands() - before, 20);
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

/* A version that is there twice, or whose name has an escape in it, is no record's. */
START_TEST(a_version_that_can_not_be_told_is_corrupt)
{
    static const char *const texts[] = {
        "{\"version\":\"00000000deadbeef\",\"version\":\"00000000deadbeef\"," REST,
        "{\"version\":\"00000000deadbeef\",\"version\":\"00000000deadbee0\"," REST,
        "{\"\\u0076ersion\":\"00000000deadbeef\"," REST,
        "{\"version\":\"00000000DEADBEEF\"," REST,
        "{\"version\":\"deadbeef\"," REST,
        "{" REST,
    };
    idem_outcome out;
    server_do(&redis, "SET %s %s PX 60000", KEY, texts[_i]);
    long long before = commands();
    assert_code(IDEM_ERR_CORRUPT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says(KEY);
    assert_code(IDEM_ERR_CORRUPT, idem_forget(store, idem_str(KEY), &err));
    ck_assert_int_lt(commands() - before, 20);
    assert_ok(idem_forget_any(store, idem_str(KEY), &err));
}
END_TEST

/* --------------------------------------------------------------------------------------- scan */

static int count_records(const idem_record *record, void *user)
{
    size_t *count = user;
    ck_assert_uint_gt(record->key.len, 0);
    (*count)++;
    return 0;
}

START_TEST(scan_finds_a_few_records_among_many_strange_keys)
{
    size_t count = 0;
    server_do(&redis, "EVAL %s 0", "for i = 1, 20000 do redis.call('SET', 'other' .. i, i) end");
    idem_store *own = open_url(redis.url, "prefix=own:");
    for (int i = 0; i < 5; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key-%d", i);
        complete(own, key, "1");
    }
    assert_ok(idem_scan(own, NULL, count_records, &count, &err));
    ck_assert_uint_eq(count, 5);
    idem_close(own);
}
END_TEST

START_TEST(prefixes_of_odd_characters_keep_users_apart)
{
    static const char *const prefixes[] = {"a*", "a?", "a%5B1%5D", "a%5C", "a%5E", "a1", "a"};
    size_t rows = sizeof prefixes / sizeof prefixes[0];
    for (size_t i = 0; i < rows; i++) {
        char params[40];
        (void)snprintf(params, sizeof params, "prefix=%s:", prefixes[i]);
        idem_store *own = open_url(redis.url, params);
        complete(own, KEY, "1");
        idem_close(own);
    }
    for (size_t i = 0; i < rows; i++) {
        char params[40];
        size_t count = 0;
        (void)snprintf(params, sizeof params, "prefix=%s:", prefixes[i]);
        idem_store *own = open_url(redis.url, params);
        assert_ok(idem_scan(own, NULL, count_records, &count, &err));
        ck_assert_uint_eq(count, 1);
        assert_ok(idem_forget(own, idem_str(KEY), &err));
        idem_close(own);
        ck_assert_int_eq(server_number(&redis, "DBSIZE"), (long long)(rows - i - 1));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis records");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_record_of_the_seed_in_progress_is_in_progress_until_its_key_expires, 1);
    ADD_HERE(suite, a_record_of_the_seed_without_an_end_is_never_taken_over, 1);
    ADD_HERE(suite, a_completed_record_of_the_seed_is_replayed, 1);
    ADD_HERE(suite, a_record_of_the_seed_without_a_response_is_replayed_as_null, 1);
    ADD_HERE(suite, nobody_of_ours_can_complete_a_record_of_the_seed, 1);
    ADD_HERE(suite, a_record_of_ours_is_read_with_all_its_fields_and_its_age, 1);
    ADD_HERE(suite, what_we_write_is_this_text_to_the_byte, 1);
    ADD_HERE(suite, the_seed_reads_our_records_in_all_their_states, 1);
    ADD_HERE(suite, the_response_in_the_server_is_the_callers_own_bytes, 1);
    ADD_HERE(suite, an_expired_lease_is_seen_by_what_is_left_of_the_keys_life, 1);
    ADD_HERE(suite, a_live_lease_is_seen_by_what_is_left_of_the_keys_life, 1);
    ADD_HERE(suite, a_record_rewritten_by_hand_is_corrupt_at_once_and_can_be_forgotten, 1);
    ADD_HERE(suite, a_claim_whose_key_was_made_to_stay_is_not_taken_over, 2);
    ADD_HERE(suite, a_claim_whose_key_was_made_to_stay_can_be_settled, 2);
    ADD_HERE(suite, a_text_that_is_no_record_is_corrupt_and_stays, 6);
    ADD_HERE(suite, a_key_of_another_type_is_corrupt_and_stays, 3);
    ADD_HERE(suite, a_record_edited_by_hand_is_corrupt_at_once_and_can_be_forgotten, EDITED);
    ADD_HERE(suite, a_version_that_can_not_be_told_is_corrupt, 6);
    ADD_HERE(suite, scan_finds_a_few_records_among_many_strange_keys, 1);
    ADD_HERE(suite, prefixes_of_odd_characters_keep_users_apart, 1);
    return run_suite(suite);
}
