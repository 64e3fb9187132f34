/* SPDX-License-Identifier: MIT */
/* Operators' walks: scan and purge. A scan may give a record more than once, so records are
   counted by their keys. */
#include "conformance.h"

#include <stdio.h>

#define SEEN_MAX 512u

/* What a scan gave. */
typedef struct {
    char keys[SEEN_MAX][64];
    size_t lens[SEEN_MAX];
    size_t count;
    size_t calls;
    size_t stop_after;     /* 0: never */
    idem_store *forget_in; /* forgets each key as it is given */
    bool token_shown;
} scan_result;

static bool seen(const scan_result *result, idem_bytes key)
{
    for (size_t i = 0; i < result->count; i++) {
        if (result->lens[i] == key.len && memcmp(result->keys[i], key.data, key.len) == 0)
            return true;
    }
    return false;
}

static int take(const idem_record *record, void *user)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    scan_result *result = user;
    result->calls++;
    if (memcmp(record->token, none, sizeof none) != 0)
        result->token_shown = true;
    if (!seen(result, record->key) && result->count < SEEN_MAX && record->key.len <= 64) {
        memcpy(result->keys[result->count], record->key.data, record->key.len);
        result->lens[result->count++] = record->key.len;
    }
    if (result->forget_in && idem_forget(result->forget_in, record->key, NULL) != IDEM_OK)
        return 1;
    return result->stop_after && result->calls == result->stop_after;
}

static scan_result *scan(idem_store *store, idem_bytes prefix, uint64_t status, uint64_t limit)
{
    static scan_result result;
    idem_filter filter = {
        .size = sizeof filter, .prefix = prefix, .status = status, .limit = limit};
    memset(&result, 0, sizeof result);
    assert_ok(idem_scan(store, &filter, take, &result, &err));
    ck_assert_msg(!result.token_shown, "a scan shows tokens");
    return &result;
}

static const idem_bytes all = {NULL, 0};

/* Claims a key for good. */
static void put(idem_bytes key)
{
    idem_outcome out = BEGIN(one, .key = key, .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
}

static void put_numbered(const char *name, unsigned count)
{
    char key[64];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "%s%u", name, i);
        put(idem_str(key));
    }
}

START_TEST(scan_of_an_empty_store_gives_nothing)
{
    ck_assert_uint_eq(scan(one, all, 0, 0)->calls, 0);
}
END_TEST

START_TEST(scan_gives_every_record_with_its_fields)
{
    put_numbered("key-", 5);
    scan_result *result = scan(other, all, 0, 0);
    ck_assert_uint_eq(result->count, 5);
    ck_assert(seen(result, idem_str("key-0")) && seen(result, idem_str("key-4")));
}
END_TEST

static int check_fields(const idem_record *record, void *user)
{
    bool *right = user;
    *right = record->status == IDEM_STATUS_COMPLETED && record->attempt == 1 &&
             record->ttl_ms == 7200000 && record->lease_ms == 9000 && record->response.len == 7 &&
             memcmp(record->response.data, "{\"a\":1}", 7) == 0 && record->fingerprint.len == 1 &&
             record->age_ms < LONG_MS && record->version != 0 && record->created_at_ms != 0;
    return 0;
}

START_TEST(scan_gives_what_get_gives)
{
    bool right = false;
    idem_outcome out =
        BEGIN(one, .key = KEY, .lease_ms = 9000, .ttl_ms = 7200000, .fingerprint = idem_str("f"));
    assert_ok(idem_complete(one, out.claim, idem_str("{\"a\":1}"), &err));
    assert_ok(idem_scan(other, NULL, check_fields, &right, &err));
    ck_assert(right);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(scan_by_prefix_gives_keys_that_begin_with_it)
{
    put_numbered("a-", 3);
    put_numbered("a", 2);
    put_numbered("b-", 2);
    ck_assert_uint_eq(scan(one, idem_str("a-"), 0, 0)->count, 3);
    ck_assert_uint_eq(scan(one, idem_str("a"), 0, 0)->count, 5);
    ck_assert_uint_eq(scan(one, idem_str("a-1"), 0, 0)->count, 1);
    ck_assert_uint_eq(scan(one, idem_str("c"), 0, 0)->count, 0);
}
END_TEST

START_TEST(scan_takes_a_prefix_as_bytes_and_not_as_a_pattern)
{
    static const idem_bytes keys[] = {{"%x", 2},
                                      {"_x", 2},
                                      {"*x", 2},
                                      {"?x", 2},
                                      {"[a]x", 4},
                                      {"\xff\xff"
                                       "1",
                                       3},
                                      {"\xff", 1},
                                      {"\0a", 2},
                                      {"\0\n\0b", 4},
                                      {"\\x", 2},
                                      {"'x", 2},
                                      {"A", 1}};
    static const idem_bytes prefixes[] = {{"%", 1},   {"_", 1},        {"*", 1},   {"?", 1},
                                          {"[a]", 3}, {"\xff\xff", 2}, {"\0a", 2}, {"\0\n\0", 3},
                                          {"\\", 1},  {"'", 1},        {"A", 1}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put(keys[i]);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        ck_assert_msg(scan(one, prefixes[i], 0, 0)->count == 1, "prefix number %zu", i);
    ck_assert_uint_eq(scan(one, (idem_bytes){"\xff", 1}, 0, 0)->count, 2);
    ck_assert_uint_eq(scan(one, (idem_bytes){"\0", 1}, 0, 0)->count, 2);
    ck_assert_uint_eq(scan(one, idem_str("a"), 0, 0)->count, 0);
}
END_TEST

START_TEST(scan_by_status_gives_records_in_that_state)
{
    put_numbered("open-", 3);
    complete_key(one, "1");
    scan_result *result = scan(one, all, IDEM_STATUS_COMPLETED, 0);
    ck_assert_uint_eq(result->count, 1);
    ck_assert(seen(result, KEY));
    result = scan(one, all, IDEM_STATUS_IN_PROGRESS, 0);
    ck_assert_uint_eq(result->count, 3);
    ck_assert(!seen(result, KEY));
}
END_TEST

START_TEST(scan_stops_at_its_limit)
{
    put_numbered("key-", 6);
    complete_key(one, "1");
    ck_assert_uint_eq(scan(one, all, 0, 4)->calls, 4);
    ck_assert_uint_eq(scan(one, all, 0, 1)->calls, 1);
    ck_assert_uint_eq(scan(one, all, 0, 100)->count, 7);
    ck_assert_uint_eq(scan(one, all, IDEM_STATUS_COMPLETED, 1)->calls, 1);
}
END_TEST

START_TEST(scan_stops_when_its_callback_says_so)
{
    static scan_result result;
    put_numbered("key-", 5);
    memset(&result, 0, sizeof result);
    result.stop_after = 2;
    assert_ok(idem_scan(one, NULL, take, &result, &err));
    ck_assert_uint_eq(result.calls, 2);
}
END_TEST

START_TEST(scan_callback_may_call_into_the_store)
{
    static scan_result result;
    put_numbered("key-", 10);
    memset(&result, 0, sizeof result);
    result.forget_in = one;
    assert_ok(idem_scan(one, NULL, take, &result, &err));
    ck_assert_uint_eq(result.count, 10);
    ck_assert_uint_eq(scan(other, all, 0, 0)->calls, 0);
}
END_TEST

START_TEST(scan_goes_through_more_records_than_a_page_has)
{
    put_numbered("key-", 300);
    ck_assert_uint_eq(scan(other, all, 0, 0)->count, 300);
    ck_assert_uint_eq(scan(other, idem_str("key-29"), 0, 0)->count, 11);
    ck_assert_uint_eq(scan(other, all, 0, 150)->calls, 150);
}
END_TEST

START_TEST(scan_leaves_out_expired_records)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = 1, .ttl_ms = SHORT_MS);
    idem_outcome_clear(&out);
    put(idem_str("stays"));
    advance(1 + SHORT_MS);
    scan_result *result = scan(one, all, 0, 0);
    ck_assert_uint_eq(result->count, 1);
    ck_assert(seen(result, idem_str("stays")));
}
END_TEST

START_TEST(scan_of_a_prefixed_store_gives_its_own_keys_without_the_prefix)
{
    idem_store *alpha = open_more("prefix=alpha:");
    idem_outcome out = claim_key(alpha, LONG_MS);
    put(idem_str("beta:x"));
    scan_result *result = scan(alpha, all, 0, 0);
    ck_assert_uint_eq(result->count, 1);
    ck_assert(seen(result, KEY));
    ck_assert_uint_eq(scan(alpha, idem_str("charge"), 0, 0)->count, 1);
    ck_assert_uint_eq(scan(alpha, idem_str("alpha"), 0, 0)->count, 0);
    ck_assert(seen(scan(one, all, 0, 0), idem_str("alpha:charge-42")));
    idem_outcome_clear(&out);
    idem_close(alpha);
}
END_TEST

START_TEST(scan_passes_over_a_key_that_is_the_stores_prefix)
{
    idem_store *prefixed = open_more("prefix=team-a/");
    put(idem_str("team-a/"));
    put(idem_str("team-a/x"));
    scan_result *result = scan(prefixed, all, 0, 0);
    ck_assert_uint_eq(result->count, 1);
    ck_assert(seen(result, idem_str("x")));
    idem_close(prefixed);
}
END_TEST

START_TEST(scan_refuses_bad_arguments)
{
    scan_result result;
    idem_filter filter = {.size = sizeof filter, .status = IDEM_STATUS_CORRUPT + 1};
    assert_error(IDEM_ERR_ARGUMENT, idem_scan(NULL, NULL, take, &result, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_scan(one, NULL, NULL, &result, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_scan(one, &filter, take, &result, &err));
    filter = (idem_filter){.size = 0};
    assert_error(IDEM_ERR_ARGUMENT, idem_scan(one, &filter, take, &result, &err));
}
END_TEST

/* -------------------------------------------------------------------------------------- purge */

/* Writes that pass by may purge a few: so nothing may expire before the last one is made. */
static void put_expiring(unsigned count)
{
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "old-%u", i);
        idem_outcome out = BEGIN(one, .key = idem_str(key), .lease_ms = 1, .ttl_ms = span_ms());
        idem_outcome_clear(&out);
    }
}

START_TEST(purge_drops_expired_records_and_leaves_live_ones)
{
    uint64_t removed = 99;
    put_numbered("live-", 3);
    put_expiring(5);
    complete_key(one, "1");
    advance(1 + span_ms());
    assert_ok(idem_purge(other, 2, &removed, &err));
    ck_assert_uint_eq(removed, 2);
    assert_ok(idem_purge(other, 0, &removed, &err));
    ck_assert_uint_eq(removed, 3);
    assert_ok(idem_purge(one, 0, &removed, &err));
    ck_assert_uint_eq(removed, 0);
    assert_ok(idem_purge(one, 1, NULL, &err));
    assert_replayed(other, "1");
    idem_outcome out = BEGIN(one, .key = idem_str("live-2"));
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(purge_leaves_expired_leases_alone)
{
    uint64_t removed = 99;
    idem_outcome out = expired_claim();
    idem_record before = record_now();
    assert_ok(idem_purge(other, 0, &removed, &err));
    ck_assert_uint_eq(removed, 0);
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(an_expired_record_that_no_purge_has_reached_is_new_again)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = 1, .ttl_ms = SHORT_MS);
    idem_outcome_clear(&out);
    advance(1 + SHORT_MS);
    out = claim_key(other, LONG_MS);
    idem_outcome_clear(&out);
}
END_TEST

void conformance_scan(Suite *suite)
{
    ADD(suite, "scan", IDEM_TRAIT_SCAN, ANY_TIME, scan_of_an_empty_store_gives_nothing,
        scan_gives_every_record_with_its_fields, scan_gives_what_get_gives,
        scan_by_prefix_gives_keys_that_begin_with_it,
        scan_takes_a_prefix_as_bytes_and_not_as_a_pattern,
        scan_by_status_gives_records_in_that_state, scan_stops_at_its_limit,
        scan_stops_when_its_callback_says_so, scan_callback_may_call_into_the_store,
        scan_goes_through_more_records_than_a_page_has, scan_leaves_out_expired_records,
        scan_of_a_prefixed_store_gives_its_own_keys_without_the_prefix,
        scan_passes_over_a_key_that_is_the_stores_prefix, scan_refuses_bad_arguments);
    ADD(suite, "purge", IDEM_TRAIT_PURGE, ANY_TIME,
        purge_drops_expired_records_and_leaves_live_ones, purge_leaves_expired_leases_alone);
    ADD(suite, "expiry", 0, ANY_TIME, an_expired_record_that_no_purge_has_reached_is_new_again);
}
