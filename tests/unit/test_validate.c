/* SPDX-License-Identifier: MIT */
/* What callers pass in: each limit from both sides, structs of other versions, and what is told. */
#include "validate.h"

#include "runner.h"
#include "store.h"

static idem_store store;
static idem_error err;

static void set_up(void)
{
    memset(&store, 0, sizeof store);
    store.max_response = 100;
    store.ops.scheme = "example";
    memset(&err, 0, sizeof err);
}

static void tear_down(void)
{
}

#define refused(code_, call, says)                                                      \
    do {                                                                                \
        err = (idem_error){.code = IDEM_OK};                                            \
        ck_assert_int_eq(call, code_);                                                  \
        ck_assert_int_eq(err.code, code_);                                              \
        ck_assert_msg(strstr(err.message, says) != NULL, "%s: %s", #call, err.message); \
    } while (0)

/* ------------------------------------------------------------------------------------ structs */

typedef struct {
    size_t size;
    uint64_t first;
    uint64_t second; /* came with a later version */
} own;

typedef struct {
    own known;
    uint64_t third;
    char more[8];
} newer;

START_TEST(an_older_struct_lacks_its_last_fields)
{
    own given = {.size = offsetof(own, second), .first = 1, .second = 2};
    own read = {.second = 99};
    ck_assert_int_eq(
        idem__validate_struct("thing", &given, offsetof(own, second), &read, sizeof read, &err),
        IDEM_OK);
    ck_assert_uint_eq(read.first, 1);
    ck_assert_uint_eq(read.second, 0);
}
END_TEST

START_TEST(a_newer_struct_may_not_use_what_is_not_known)
{
    newer given = {.known = {.size = sizeof given, .first = 1, .second = 2}};
    own read;
    ck_assert_int_eq(idem__validate_struct("thing", &given, sizeof read, &read, sizeof read, &err),
                     IDEM_OK);
    ck_assert_uint_eq(read.second, 2);
    given.more[sizeof given.more - 1] = 1; /* the very last byte */
    refused(IDEM_ERR_ARGUMENT,
            idem__validate_struct("thing", &given, sizeof read, &read, sizeof read, &err),
            "a field that libidem");
}
END_TEST

static const size_t sizes[] = {0, 1, sizeof(own) - 1, 4097, SIZE_MAX};

START_TEST(a_size_that_was_never_set_is_refused)
{
    own given = {.size = sizes[_i]};
    own read = {.first = 77};
    refused(IDEM_ERR_ARGUMENT,
            idem__validate_struct("thing", &given, sizeof given, &read, sizeof read, &err),
            "sizeof(idem_thing)");
    ck_assert_uint_eq(read.first, 77);
}
END_TEST

/* -------------------------------------------------------------------------------------- bytes */

START_TEST(bytes_have_a_limit_and_a_place)
{
    char text[101];
    memset(text, '1', sizeof text);
    ck_assert_int_eq(idem__validate_bytes(&store, "response", (idem_bytes){text, 100}, &err),
                     IDEM_OK);
    refused(IDEM_ERR_TOO_LARGE,
            idem__validate_bytes(&store, "response", (idem_bytes){text, 101}, &err),
            "101 bytes and the store takes 100");
    ck_assert_int_eq(idem__validate_bytes(&store, "response", (idem_bytes){NULL, 0}, &err),
                     IDEM_OK);
    refused(IDEM_ERR_ARGUMENT,
            idem__validate_bytes(&store, "response", (idem_bytes){NULL, 1}, &err), "NULL");
    /* Its size is told before it is read. */
    refused(IDEM_ERR_TOO_LARGE,
            idem__validate_json(&store, "response", (idem_bytes){text, SIZE_MAX}, &err),
            "a larger max_response");
}
END_TEST

START_TEST(what_is_no_json_is_told_with_its_place)
{
    ck_assert_int_eq(idem__validate_json(&store, "response", idem_str("{\"a\":[1]}"), &err),
                     IDEM_OK);
    refused(IDEM_ERR_ARGUMENT,
            idem__validate_json(&store, "response", idem_str("{\"a\":[1}"), &err), "at byte 7");
    refused(IDEM_ERR_ARGUMENT,
            idem__validate_json(&store, "checkpoint", (idem_bytes){NULL, 0}, &err),
            "the checkpoint is not JSON");
}
END_TEST

START_TEST(a_duration_has_a_limit)
{
    ck_assert_int_eq(idem__validate_duration("lease_ms", IDEM_DURATION_MAX_MS, &err), IDEM_OK);
    refused(IDEM_ERR_ARGUMENT, idem__validate_duration("lease_ms", IDEM_DURATION_MAX_MS + 1, &err),
            "lease_ms");
}
END_TEST

START_TEST(a_token_of_zeros_is_nobodys)
{
    uint8_t token[IDEM_TOKEN_SIZE] = {0};
    ck_assert(idem__validate_no_token(NULL));
    ck_assert(idem__validate_no_token(token));
    token[IDEM_TOKEN_SIZE - 1] = 1;
    ck_assert(!idem__validate_no_token(token));
}
END_TEST

/* ----------------------------------------------------------------------------------- requests */

static int validate(idem_request request)
{
    idem_request read;
    return idem__validate_request(&store, &request, &read, &err);
}

static idem_request plain(void)
{
    idem_request request;
    idem_request_init(&request);
    return request;
}

START_TEST(a_request_is_read_as_it_is)
{
    idem_request request = plain();
    idem_request read;
    request.lease_ms = IDEM_DURATION_MAX_MS;
    request.flags = IDEM_NO_TAKEOVER | IDEM_REINSTATE;
    request.fingerprint = idem_str("print");
    ck_assert_int_eq(idem__validate_request(&store, &request, &read, &err), IDEM_OK);
    ck_assert_mem_eq(&read, &request, sizeof read);
}
END_TEST

/* Of the first version: it ends before the fingerprint, and what stands behind is not its own. */
START_TEST(a_request_of_the_first_version_has_a_key_alone)
{
    idem_request request = plain();
    idem_request read;
    request.size = offsetof(idem_request, fingerprint);
    request.key = idem_str("k");
    request.flags = ~0u;
    request.wait_ms = UINT64_MAX;
    ck_assert_int_eq(idem__validate_request(&store, &request, &read, &err), IDEM_OK);
    ck_assert_uint_eq(read.key.len, 1);
    ck_assert_uint_eq(read.flags, 0);
    ck_assert_uint_eq(read.wait_ms, 0);
}
END_TEST

START_TEST(each_fault_of_a_request_is_told)
{
    static const uint8_t nobody[IDEM_TOKEN_SIZE];
    static char print[IDEM_FINGERPRINT_MAX + 1];
    idem_request read;
    idem_request given = plain();
    refused(IDEM_ERR_ARGUMENT, idem__validate_request(&store, NULL, &read, &err), "is NULL");
    given.size = 0;
    refused(IDEM_ERR_ARGUMENT, validate(given), "size is not set");
    uint64_t *const durations[] = {&given.lease_ms, &given.ttl_ms, &given.timeout_ms,
                                   &given.wait_ms};
    static const char *const names[] = {"lease_ms", "ttl_ms", "timeout_ms", "wait_ms"};
    for (size_t i = 0; i < 4; i++) {
        given = plain();
        *durations[i] = IDEM_DURATION_MAX_MS + 1;
        refused(IDEM_ERR_ARGUMENT, validate(given), names[i]);
    }
    given = plain();
    given.fingerprint = (idem_bytes){print, IDEM_FINGERPRINT_MAX};
    ck_assert_int_eq(validate(given), IDEM_OK);
    given.fingerprint.len++;
    refused(IDEM_ERR_ARGUMENT, validate(given), "idem_fingerprint()");
    given.fingerprint = (idem_bytes){NULL, 1};
    refused(IDEM_ERR_ARGUMENT, validate(given), "a fingerprint has at most");
    given = plain();
    given.token = nobody;
    refused(IDEM_ERR_ARGUMENT, validate(given), "all zero");
    given = plain();
    given.flags = 1u << 30;
    refused(IDEM_ERR_ARGUMENT, validate(given), "unknown flag");
}
END_TEST

START_TEST(a_store_without_a_thread_of_its_own_keeps_nothing_alive)
{
    idem_request given = plain();
    given.flags = IDEM_KEEPALIVE;
    store.ops.traits = IDEM_BACKEND_NO_BACKGROUND;
    refused(IDEM_ERR_UNSUPPORTED, validate(given), "call idem_renew()");
    store.ops.traits = 0;
    ck_assert_int_eq(validate(given), IDEM_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("validate");
    ADD_HERE(suite, an_older_struct_lacks_its_last_fields, 1);
    ADD_HERE(suite, a_newer_struct_may_not_use_what_is_not_known, 1);
    ADD_HERE(suite, a_size_that_was_never_set_is_refused, sizeof sizes / sizeof sizes[0]);
    ADD_HERE(suite, bytes_have_a_limit_and_a_place, 1);
    ADD_HERE(suite, what_is_no_json_is_told_with_its_place, 1);
    ADD_HERE(suite, a_duration_has_a_limit, 1);
    ADD_HERE(suite, a_token_of_zeros_is_nobodys, 1);
    ADD_HERE(suite, a_request_is_read_as_it_is, 1);
    ADD_HERE(suite, a_request_of_the_first_version_has_a_key_alone, 1);
    ADD_HERE(suite, each_fault_of_a_request_is_told, 1);
    ADD_HERE(suite, a_store_without_a_thread_of_its_own_keeps_nothing_alive, 1);
    return run_suite(suite);
}
