/* SPDX-License-Identifier: MIT */
/* What a caller may give: keys of any bytes, limits exactly, and everything else refused with
   IDEM_ERR_ARGUMENT before the store is asked. */
#include "conformance.h"

#define YEARS_100 UINT64_C(3155760000000)

/* ---------------------------------------------------------------------------------------- keys */

/* Claims, completes and replays a key of `len` bytes; the store keeps them as they are. */
static void assert_key_works(const void *data, size_t len)
{
    idem_bytes key = {data, len};
    idem_record record;
    idem_outcome out = BEGIN(one, .key = key, .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    assert_ok(idem_complete(one, out.claim, idem_str("\"mine\""), &err));
    idem_outcome_clear(&out);
    out = BEGIN(other, .key = key);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_text(out.response, "\"mine\"");
    idem_outcome_clear(&out);
    assert_ok(idem_get(other, key, &record, &err));
    ck_assert_uint_eq(record.key.len, len);
    ck_assert_mem_eq(record.key.data, data, len);
    idem_record_clear(&record);
}

START_TEST(a_key_of_1_byte_and_one_of_1024_bytes_work)
{
    char key[IDEM_KEY_MAX];
    memset(key, 'k', sizeof key);
    assert_key_works("k", 1);
    assert_key_works(key, sizeof key);
    assert_key_works(key, sizeof key - 1);
}
END_TEST

START_TEST(a_key_of_all_256_bytes_works)
{
    char key[256];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (char)i;
    assert_key_works(key, sizeof key);
    memset(key, '\xff', sizeof key);
    assert_key_works(key, sizeof key);
}
END_TEST

START_TEST(every_single_byte_is_a_key_of_its_own)
{
    for (int i = 0; i < 256; i++) {
        char key = (char)i;
        idem_outcome out = BEGIN(one, .key = {&key, 1}, .lease_ms = LONG_MS);
        ck_assert_msg(out.kind == IDEM_NEW, "byte %d is another's key", i);
        idem_outcome_clear(&out);
    }
}
END_TEST

START_TEST(keys_with_nul_and_newline_are_told_apart)
{
    assert_key_works("a", 1);
    assert_key_works("a\0", 2);
    assert_key_works("a\0b", 3);
    assert_key_works("a\0c", 3);
    assert_key_works("a\n", 2);
    assert_key_works("\n", 1);
    assert_key_works("\0", 1);
    assert_key_works(" ", 1);
    assert_key_works("A", 1);
    assert_key_works("../../etc/passwd", 16);
    assert_key_works("%61", 3);
}
END_TEST

START_TEST(the_longest_prefix_and_the_longest_key_work_together)
{
    char params[300] = "prefix=";
    char key[IDEM_KEY_MAX];
    memset(key, 'k', sizeof key);
    memset(params + 7, 'p', 256);
    params[7 + 256] = '\0';
    idem_store *store = open_more(params);
    idem_outcome out = BEGIN(store, .key = {key, sizeof key}, .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    out = BEGIN(store, .key = {key, sizeof key});
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

static void assert_key_refused(const void *data, size_t len)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1};
    idem_bytes key = {data, len};
    idem_outcome out;
    idem_record record;
    idem_claim *claim = NULL;
    assert_error(IDEM_ERR_ARGUMENT, idem_begin(one, IDEM_REQUEST(.key = key), &out, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_get(one, key, &record, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_forget(one, key, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_resume(one, key, token, &claim, &err));
}

START_TEST(empty_and_too_long_keys_are_refused)
{
    char key[IDEM_KEY_MAX + 1];
    memset(key, 'k', sizeof key);
    assert_key_refused("", 0);
    assert_key_refused("key", 0);
    assert_key_refused(NULL, 0);
    assert_key_refused(NULL, 5);
    assert_key_refused(key, sizeof key);
    assert_key_refused(key, SIZE_MAX);
}
END_TEST

/* ---------------------------------------------------------------------------------------- NULL */

START_TEST(null_where_something_is_needed_is_an_argument_error)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1};
    idem_outcome out;
    idem_record record;
    idem_claim *claim = NULL;
    const idem_request *request = IDEM_REQUEST(.key = KEY);
    assert_error(IDEM_ERR_ARGUMENT, idem_begin(NULL, request, &out, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_begin(one, NULL, &out, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_begin(one, request, NULL, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_get(NULL, KEY, &record, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_get(one, KEY, NULL, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_forget(NULL, KEY, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_resume(NULL, KEY, token, &claim, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_resume(one, KEY, NULL, &claim, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_resume(one, KEY, token, NULL, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_purge(NULL, 0, NULL, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_open(NULL, &one, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_open("memory://", NULL, &err));
    ck_assert_uint_eq(idem_traits(NULL), 0);
    ck_assert_uint_eq(idem_max_response(NULL), 0);
    assert_absent();
}
END_TEST

START_TEST(a_call_without_store_or_claim_is_an_argument_error)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_ARGUMENT, idem_complete(NULL, out.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_complete(one, NULL, idem_str("1"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_renew(NULL, out.claim, 0, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_renew(one, NULL, 0, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_checkpoint(NULL, out.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_checkpoint(one, NULL, idem_str("1"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_release(NULL, out.claim, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_release(one, NULL, &err));
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

/* Every call once, with NULL for the error; what they return is still right. */
START_TEST(a_null_error_is_fine_everywhere)
{
    idem_outcome out;
    idem_record record;
    idem_claim *claim = NULL;
    ck_assert_int_eq(idem_begin(one, IDEM_REQUEST(.key = KEY), &out, NULL), IDEM_OK);
    ck_assert_int_eq(idem_renew(one, out.claim, 0, NULL), IDEM_OK);
    ck_assert_int_eq(idem_checkpoint(one, out.claim, idem_str("1"), NULL), IDEM_OK);
    ck_assert_int_eq(idem_checkpoint(one, out.claim, idem_str("x"), NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_resume(one, KEY, idem_claim_token(out.claim), &claim, NULL), IDEM_OK);
    ck_assert_int_eq(idem_complete(one, out.claim, idem_str("x"), NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_complete(one, out.claim, idem_str("1"), NULL), IDEM_OK);
    ck_assert_int_eq(idem_renew(one, out.claim, 0, NULL), IDEM_ERR_LOST);
    ck_assert_int_eq(idem_release(one, claim, NULL), IDEM_OK);
    ck_assert_int_eq(idem_get(one, KEY, &record, NULL), IDEM_OK);
    ck_assert_int_eq(idem_forget(one, KEY, NULL), IDEM_OK);
    idem_record_clear(&record);
    ck_assert_int_eq(idem_get(one, KEY, &record, NULL), IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(idem_get(one, (idem_bytes){NULL, 0}, &record, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_begin(NULL, NULL, NULL, NULL), IDEM_ERR_ARGUMENT);
    (void)idem_purge(one, 0, NULL, NULL);
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

/* ------------------------------------------------------------------------------------- requests */

static void assert_request_refused(const idem_request *request)
{
    idem_outcome out;
    static const idem_outcome zeroed;
    memset(&out, 0xa5, sizeof out);
    assert_error(IDEM_ERR_ARGUMENT, idem_begin(one, request, &out, &err));
    ck_assert_msg(memcmp(&out, &zeroed, sizeof out) == 0, "the outcome can't be cleared");
    memset(&out, 0xa5, sizeof out);
    assert_error(IDEM_ERR_ARGUMENT, idem_begin(NULL, request, &out, &err));
    ck_assert_msg(memcmp(&out, &zeroed, sizeof out) == 0, "the outcome can't be cleared");
    idem_outcome_clear(&out);
}

START_TEST(a_request_without_a_size_is_refused)
{
    idem_request request = {.key = KEY};
    assert_request_refused(&request);
    request.size = 1;
    assert_request_refused(&request);
    assert_absent();
}
END_TEST

START_TEST(a_request_of_an_older_binary_is_taken_for_what_it_has)
{
    idem_request request;
    idem_request_init(&request);
    request.size = offsetof(idem_request, lease_ms);
    request.key = KEY;
    request.lease_ms = UINT64_MAX; /* behind the end of what the caller knows */
    request.flags = UINT64_MAX;
    idem_outcome out = begin(one, &request);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_record record = record_now();
    ck_assert_uint_eq(record.lease_ms, 60000);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(unknown_flags_are_refused)
{
    assert_request_refused(IDEM_REQUEST(.key = KEY, .flags = UINT64_C(8)));
    assert_request_refused(IDEM_REQUEST(.key = KEY, .flags = UINT64_C(1) << 63));
    assert_absent();
}
END_TEST

START_TEST(an_all_zero_token_is_refused)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    idem_claim *claim = NULL;
    assert_request_refused(IDEM_REQUEST(.key = KEY, .token = none));
    assert_absent();
    idem_outcome out = claim_key(one, LONG_MS);
    assert_error(IDEM_ERR_ARGUMENT, idem_resume(one, KEY, none, &claim, &err));
    ck_assert_ptr_null(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_fingerprint_over_64_bytes_is_refused)
{
    char fingerprint[IDEM_FINGERPRINT_MAX + 1] = {1};
    assert_request_refused(
        IDEM_REQUEST(.key = KEY, .fingerprint = {fingerprint, sizeof fingerprint}));
    assert_request_refused(IDEM_REQUEST(.key = KEY, .fingerprint = {NULL, 5}));
    assert_absent();
}
END_TEST

START_TEST(durations_over_100_years_are_refused)
{
    uint64_t over = YEARS_100 + 1;
    assert_request_refused(IDEM_REQUEST(.key = KEY, .lease_ms = over));
    assert_request_refused(IDEM_REQUEST(.key = KEY, .ttl_ms = over));
    assert_request_refused(IDEM_REQUEST(.key = KEY, .timeout_ms = over));
    assert_request_refused(IDEM_REQUEST(.key = KEY, .wait_ms = over));
    assert_request_refused(IDEM_REQUEST(.key = KEY, .wait_ms = UINT64_MAX));
    assert_absent();
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_ARGUMENT, idem_renew(one, out.claim, over, &err));
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(durations_of_100_years_work)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = YEARS_100, .ttl_ms = YEARS_100,
                             .timeout_ms = YEARS_100, .wait_ms = YEARS_100);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome busy = BEGIN(other, .key = KEY);
    ck_assert_int_eq(busy.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(busy.retry_after_ms, YEARS_100 / 2);
    assert_ok(idem_renew(one, out.claim, YEARS_100, &err));
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    assert_replayed(other, "1");
    idem_outcome_clear(&busy);
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------------------- errors */

START_TEST(an_error_is_cleared_by_the_next_success)
{
    idem_record record;
    assert_error(IDEM_ERR_NOT_FOUND, idem_get(one, KEY, &record, &err));
    idem_outcome out = BEGIN(one, .key = KEY);
    ck_assert_int_eq(err.code, IDEM_OK);
    ck_assert_str_eq(err.message, "");
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(error_messages_name_the_key_and_hold_no_response_and_no_control_characters)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_error(IDEM_ERR_ARGUMENT, idem_complete(one, out.claim, idem_str("secret"), &err));
    ck_assert_ptr_null(strstr(err.message, "secret"));
    assert_ok(idem_forget(one, KEY, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, out.claim, idem_str("1"), &err));
    ck_assert_ptr_nonnull(strstr(err.message, "charge-42"));
    idem_outcome_clear(&out);
    idem_record record;
    assert_error(IDEM_ERR_NOT_FOUND, idem_get(one, (idem_bytes){"a\n\x1b[31m", 7}, &record, &err));
    ck_assert_ptr_null(strchr(err.message, '\x1b'));
}
END_TEST

START_TEST(every_error_code_has_a_text)
{
    for (int code = IDEM_OK; code <= IDEM_ERR_INTERNAL; code++)
        ck_assert(idem_strerror(code)[0] != '\0');
    ck_assert_str_eq(idem_strerror(999), "unknown error");
    ck_assert_str_eq(idem_strerror(-1), "unknown error");
}
END_TEST

/* -------------------------------------------------------------------------------- capabilities */

static int ignore(const idem_record *record, void *user)
{
    (void)record;
    (void)user;
    return 0;
}

START_TEST(a_capability_that_the_store_has_works_and_one_that_it_lacks_is_unsupported)
{
    uint64_t traits = idem_traits(one);
    idem_outcome out;
    idem_store *store = NULL;
    const idem_request *kept = IDEM_REQUEST(.key = KEY, .flags = IDEM_KEEPALIVE);
    ck_assert_uint_eq(idem_traits(other), traits);
    assert_call(traits & IDEM_TRAIT_SCAN ? IDEM_OK : IDEM_ERR_UNSUPPORTED,
                idem_scan(one, NULL, ignore, NULL, &err));
    assert_call(traits & IDEM_TRAIT_PURGE ? IDEM_OK : IDEM_ERR_UNSUPPORTED,
                idem_purge(one, 0, NULL, &err));
    assert_call(traits & IDEM_TRAIT_KEEPALIVE ? IDEM_OK : IDEM_ERR_UNSUPPORTED,
                idem_begin(one, kept, &out, &err));
    if (traits & IDEM_TRAIT_KEEPALIVE)
        idem_outcome_clear(&out);
    else
        assert_absent();
    if (has(CONFORMANCE_OPTIONS))
        assert_call(traits & IDEM_TRAIT_CLOCK ? IDEM_OK : IDEM_ERR_UNSUPPORTED,
                    open_with_our_clock(&store));
    idem_close(store);
}
END_TEST

void conformance_limits(Suite *suite)
{
    ADD(suite, "keys", 0, ANY_TIME, a_key_of_1_byte_and_one_of_1024_bytes_work,
        a_key_of_all_256_bytes_works, every_single_byte_is_a_key_of_its_own,
        keys_with_nul_and_newline_are_told_apart,
        the_longest_prefix_and_the_longest_key_work_together, empty_and_too_long_keys_are_refused);
    ADD(suite, "arguments", 0, ANY_TIME, null_where_something_is_needed_is_an_argument_error,
        a_call_without_store_or_claim_is_an_argument_error, a_null_error_is_fine_everywhere,
        a_request_without_a_size_is_refused, a_request_of_an_older_binary_is_taken_for_what_it_has,
        unknown_flags_are_refused, an_all_zero_token_is_refused,
        a_fingerprint_over_64_bytes_is_refused, durations_over_100_years_are_refused,
        durations_of_100_years_work);
    ADD(suite, "errors", 0, ANY_TIME, an_error_is_cleared_by_the_next_success,
        error_messages_name_the_key_and_hold_no_response_and_no_control_characters,
        every_error_code_has_a_text);
    ADD(suite, "capabilities", 0, ANY_TIME,
        a_capability_that_the_store_has_works_and_one_that_it_lacks_is_unsupported);
}
