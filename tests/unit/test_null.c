/* SPDX-License-Identifier: MIT */
/*
 * NULL in each place of each public function. Where the header does not say that it is fine, it is
 * an argument error or a harmless answer; the process lives on.
 */
#include <idem/async.h>
#include <idem/backend.h>

#include "runner.h"

static idem_store *store;
static idem_async *async;
static idem_error err;
static idem_outcome out;
static const idem_bytes key = {"k", 1};
static const idem_bytes none = {NULL, 1}; /* a length without bytes */

static void set_up(void)
{
    ck_assert_int_eq(idem_open("memory://", &store, &err), IDEM_OK);
    ck_assert_int_eq(idem_async_open(store, &async, &err), IDEM_OK);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = key), &out, &err), IDEM_OK);
}

static void tear_down(void)
{
    idem_outcome_clear(&out);
    idem_async_close(async);
    idem_close(store);
}

#define REFUSED(call)                                                      \
    do {                                                                   \
        int rc_ = (call);                                                  \
        ck_assert_msg(rc_ == IDEM_ERR_ARGUMENT, "%s gave %d", #call, rc_); \
    } while (0)

static int show(const idem_record *record, void *user)
{
    (void)record;
    (void)user;
    return 0;
}

static void began(void *user, idem_outcome *outcome, const idem_error *error)
{
    (void)user;
    (void)error;
    idem_outcome_clear(outcome);
}

static void changed(void *user, const idem_error *error)
{
    (void)user;
    (void)error;
}

START_TEST(calls_on_a_store)
{
    idem_store *opened;
    idem_outcome other;
    idem_record record;
    idem_claim *claim;
    const idem_request *request = IDEM_REQUEST(.key = key);
    const uint8_t *token = idem_claim_token(out.claim);
    REFUSED(idem_open(NULL, &opened, NULL));
    REFUSED(idem_open("memory://", NULL, NULL));
    REFUSED(idem_open_with("memory://", NULL, NULL, NULL));
    REFUSED(idem_begin(NULL, request, &other, NULL));
    REFUSED(idem_begin(store, NULL, &other, NULL));
    REFUSED(idem_begin(store, request, NULL, NULL));
    REFUSED(idem_begin(store, IDEM_REQUEST(.key = none), &other, NULL));
    REFUSED(idem_begin(store, IDEM_REQUEST(.key = key, .fingerprint = none), &other, NULL));
    REFUSED(idem_begin_many(NULL, request, 1, &other, NULL, NULL));
    REFUSED(idem_begin_many(store, NULL, 1, &other, NULL, NULL));
    REFUSED(idem_begin_many(store, request, 1, NULL, NULL, NULL));
    REFUSED(idem_get(NULL, key, &record, NULL));
    REFUSED(idem_get(store, key, NULL, NULL));
    REFUSED(idem_get(store, none, &record, NULL));
    REFUSED(idem_resume(NULL, key, token, &claim, NULL));
    REFUSED(idem_resume(store, key, NULL, &claim, NULL));
    REFUSED(idem_resume(store, key, token, NULL, NULL));
    REFUSED(idem_resume(store, none, token, &claim, NULL));
    REFUSED(idem_forget(NULL, key, NULL));
    REFUSED(idem_forget(store, none, NULL));
    REFUSED(idem_forget_any(NULL, key, NULL));
    REFUSED(idem_forget_any(store, none, NULL));
    REFUSED(idem_forget_expired(NULL, key, NULL));
    REFUSED(idem_forget_expired(store, none, NULL));
    REFUSED(idem_settle(NULL, key, key, NULL));
    REFUSED(idem_settle(store, none, idem_str("1"), NULL));
    REFUSED(idem_settle(store, key, none, NULL));
    REFUSED(idem_scan(NULL, NULL, show, NULL, NULL));
    REFUSED(idem_scan(store, NULL, NULL, NULL, NULL));
    REFUSED(idem_purge(NULL, 0, NULL, NULL));
    REFUSED(idem_check(NULL, NULL, NULL, NULL));
    REFUSED(idem_check(store, NULL, NULL, NULL));
    ck_assert_uint_eq(idem_traits(NULL), 0);
    ck_assert_uint_eq(idem_max_response(NULL), 0);
    idem_close(NULL);
}
END_TEST

START_TEST(calls_on_a_claim)
{
    idem_claim *claims[] = {NULL};
    const idem_bytes responses[] = {{"1", 1}};
    REFUSED(idem_complete(NULL, out.claim, responses[0], NULL));
    REFUSED(idem_complete(store, NULL, responses[0], NULL));
    REFUSED(idem_complete(store, out.claim, none, NULL));
    REFUSED(idem_complete_bytes(NULL, out.claim, responses[0], NULL));
    REFUSED(idem_complete_bytes(store, NULL, responses[0], NULL));
    REFUSED(idem_complete_bytes(store, out.claim, (idem_bytes){NULL, 1}, NULL));
    REFUSED(idem_complete_many(NULL, &out.claim, responses, 1, NULL, NULL));
    REFUSED(idem_complete_many(store, NULL, responses, 1, NULL, NULL));
    REFUSED(idem_complete_many(store, claims, responses, 1, NULL, NULL));
    REFUSED(idem_complete_many(store, &out.claim, NULL, 1, NULL, NULL));
    REFUSED(idem_complete_many(store, &out.claim, &none, 1, NULL, NULL));
    REFUSED(idem_keepalive(NULL, out.claim, NULL));
    REFUSED(idem_keepalive(store, NULL, NULL));
    REFUSED(idem_renew(NULL, out.claim, 0, NULL));
    REFUSED(idem_renew(store, NULL, 0, NULL));
    REFUSED(idem_checkpoint(NULL, out.claim, responses[0], NULL));
    REFUSED(idem_checkpoint(store, NULL, responses[0], NULL));
    REFUSED(idem_checkpoint(store, out.claim, none, NULL));
    REFUSED(idem_release(NULL, out.claim, NULL));
    REFUSED(idem_release(store, NULL, NULL));
    REFUSED(idem_token_make(NULL, NULL));
    ck_assert_ptr_null(idem_claim_token(NULL));
    ck_assert(!idem_claim_lost(NULL));
    idem_claim_set_ttl(NULL, 5);
    idem_claim_free(NULL);
    idem_outcome_clear(NULL);
    idem_request_init(NULL);
}
END_TEST

START_TEST(submitted_calls)
{
    idem_async *opened;
    const idem_request *request = IDEM_REQUEST(.key = idem_str("other"));
    const idem_bytes json = {"1", 1};
    REFUSED(idem_async_open(NULL, &opened, NULL));
    REFUSED(idem_async_open(store, NULL, NULL));
    REFUSED(idem_async_begin(NULL, request, began, NULL, NULL, NULL));
    REFUSED(idem_async_begin(async, NULL, began, NULL, NULL, NULL));
    REFUSED(idem_async_begin(async, request, NULL, NULL, NULL, NULL));
    REFUSED(idem_async_complete(NULL, out.claim, json, changed, NULL, NULL, NULL));
    REFUSED(idem_async_complete(async, NULL, json, changed, NULL, NULL, NULL));
    REFUSED(idem_async_complete(async, out.claim, none, changed, NULL, NULL, NULL));
    REFUSED(idem_async_complete(async, out.claim, json, NULL, NULL, NULL, NULL));
    REFUSED(idem_async_complete_bytes(NULL, out.claim, json, changed, NULL, NULL, NULL));
    REFUSED(idem_async_complete_bytes(async, NULL, json, changed, NULL, NULL, NULL));
    REFUSED(idem_async_complete_bytes(async, out.claim, json, NULL, NULL, NULL, NULL));
    REFUSED(idem_async_renew(NULL, out.claim, 0, changed, NULL, NULL, NULL));
    REFUSED(idem_async_renew(async, NULL, 0, changed, NULL, NULL, NULL));
    REFUSED(idem_async_checkpoint(async, NULL, json, changed, NULL, NULL, NULL));
    REFUSED(idem_async_checkpoint(async, out.claim, none, changed, NULL, NULL, NULL));
    REFUSED(idem_async_release(async, NULL, changed, NULL, NULL, NULL));
    ck_assert_int_eq(idem_async_fd(NULL), -1);
    ck_assert_uint_eq(idem_async_pending(NULL), 0);
    ck_assert(!idem_async_cancel(NULL, 1));
    ck_assert_uint_eq(idem_async_dispatch(NULL, 0), 0);
    idem_async_close(NULL);
}
END_TEST

START_TEST(records_and_buffers)
{
    idem_record copy = {0};
    idem_record empty = {0};
    idem_buffer buffer = {0};
    idem_record lying = {.response = {NULL, 5}};
    ck_assert_uint_eq(idem_record_lease_left_ms(NULL), 0);
    ck_assert_uint_eq(idem_record_retention_left_ms(NULL), 0);
    ck_assert_uint_eq(idem_record_live_ms(NULL), 0);
    idem_record_clear(NULL);
    idem_buffer_clear(NULL);
    REFUSED(idem_record_copy(NULL, &copy, NULL));
    REFUSED(idem_record_copy(&empty, NULL, NULL));
    REFUSED(idem_record_copy(&lying, &copy, NULL));
    REFUSED(idem_record_encode(NULL, &buffer, NULL));
    REFUSED(idem_record_encode(&empty, NULL, NULL));
    REFUSED(idem_record_encode(&lying, &buffer, NULL));
    REFUSED(idem_record_decode(key, "{}", 2, NULL, NULL));
    REFUSED(idem_record_decode(key, NULL, 2, &copy, NULL));
    REFUSED(idem_buffer_append(NULL, "x", 1, NULL));
    REFUSED(idem_buffer_append(&buffer, NULL, 1, NULL));
    ck_assert_int_eq(idem_buffer_append(&buffer, NULL, 0, NULL), IDEM_OK);
    idem_buffer_clear(&buffer);
}
END_TEST

START_TEST(keys_numbers_and_messages)
{
    uint8_t digest[32];
    char buf[64];
    char quoted[IDEM_QUOTE_SIZE];
    size_t len;
    uint64_t number;
    REFUSED(idem_key_compose(NULL, 1, buf, sizeof buf, &len, NULL));
    REFUSED(idem_key_compose(&key, 1, NULL, sizeof buf, &len, NULL));
    REFUSED(idem_key_compose(&key, 1, buf, sizeof buf, NULL, NULL));
    REFUSED(idem_key_compose(&none, 1, buf, sizeof buf, &len, NULL));
    REFUSED(idem_fingerprint(NULL, 1, digest, NULL));
    REFUSED(idem_fingerprint(&key, 1, NULL, NULL));
    REFUSED(idem_fingerprint(&none, 1, digest, NULL));
    REFUSED(idem_duration_parse(NULL, &number, NULL));
    REFUSED(idem_duration_parse("5s", NULL, NULL));
    REFUSED(idem_size_parse(NULL, &number, NULL));
    REFUSED(idem_size_parse("5KiB", NULL, NULL));
    REFUSED(idem_random(NULL, 8, NULL));
    REFUSED(idem_random_until(NULL, 8, 0, NULL));
    REFUSED(idem_backend_register(NULL, NULL));
    REFUSED(idem_open_backend(NULL, NULL, NULL, &store, NULL));
    REFUSED(idem_open_backend(idem_backend_at(0), NULL, NULL, NULL, NULL));
    ck_assert_uint_eq(idem_str(NULL).len, 0);
    ck_assert_ptr_nonnull(idem_common_params(NULL));
    ck_assert_str_eq(idem_quote(none, quoted), "\"\"");
    ck_assert_ptr_null(idem_quote(key, NULL));
    idem_op_fail(NULL, false, IDEM_ERR_FULL, "x");
    idem_finding_emit(NULL, NULL, "x", "y");
    ck_assert_int_eq(idem_error_set(NULL, IDEM_ERR_FULL, "x"), IDEM_ERR_FULL);
    ck_assert_int_eq(idem_descriptor_raise(-1), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("NULL");
    ADD_HERE(suite, calls_on_a_store, 1);
    ADD_HERE(suite, calls_on_a_claim, 1);
    ADD_HERE(suite, submitted_calls, 1);
    ADD_HERE(suite, records_and_buffers, 1);
    ADD_HERE(suite, keys_numbers_and_messages, 1);
    return run_suite(suite);
}
