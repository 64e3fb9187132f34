/* SPDX-License-Identifier: MIT */
/* What tests do over and over: claim KEY, look at its record, compare. For the main thread alone,
   because a failed assertion leaves the test. */
#include "conformance.h"

void assert_bytes(idem_bytes bytes, idem_bytes expected)
{
    ck_assert_uint_eq(bytes.len, expected.len);
    if (expected.len > 0)
        ck_assert_msg(memcmp(bytes.data, expected.data, expected.len) == 0,
                      "the bytes differ: '%.*s', not '%.*s'", (int)bytes.len,
                      (const char *)bytes.data, (int)expected.len, (const char *)expected.data);
}

idem_outcome begin(idem_store *store, const idem_request *request)
{
    idem_outcome out;
    memset(&out, 0xa5, sizeof out);
    assert_ok(idem_begin(store, request, &out, &err));
    ck_assert_msg((out.kind == IDEM_NEW) == (out.claim != NULL), "a claim comes with New alone");
    ck_assert(out.kind == IDEM_COMPLETED || out.response.len == 0);
    return out;
}

idem_outcome claim_key(idem_store *store, uint64_t lease_ms)
{
    idem_outcome out = BEGIN(store, .key = KEY, .lease_ms = lease_ms);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    return out;
}

idem_outcome expired_claim(void)
{
    idem_outcome out = claim_key(one, SHORT_MS);
    advance(SHORT_MS);
    return out;
}

idem_outcome take_over(uint32_t attempt)
{
    idem_outcome out = BEGIN(other, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, attempt);
    return out;
}

void complete_key(idem_store *store, const char *response)
{
    idem_outcome out = claim_key(store, LONG_MS);
    assert_ok(idem_complete(store, out.claim, idem_str(response), &err));
    idem_outcome_clear(&out);
}

void assert_outcome_with(idem_store *store, uint64_t flags, idem_outcome_kind kind)
{
    idem_outcome out = BEGIN(store, .key = KEY, .flags = flags);
    ck_assert_int_eq(out.kind, kind);
    idem_outcome_clear(&out);
}

void assert_outcome(idem_store *store, idem_outcome_kind kind)
{
    assert_outcome_with(store, 0, kind);
}

void assert_replayed(idem_store *store, const char *response)
{
    idem_outcome out = BEGIN(store, .key = KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_text(out.response, response);
    idem_outcome_clear(&out);
}

idem_record record_now(void)
{
    idem_record record;
    static const uint8_t none[IDEM_TOKEN_SIZE];
    memset(&record, 0xa5, sizeof record);
    assert_ok(idem_get(other, KEY, &record, &err));
    assert_bytes(record.key, KEY);
    ck_assert_uint_ne(record.version, 0);
    ck_assert_msg(memcmp(record.token, none, sizeof none) == 0, "get shows the token");
    return record;
}

void assert_unchanged(idem_record *before)
{
    idem_record now = record_now();
    ck_assert_msg(now.version == before->version, "the record was written again");
    ck_assert_int_eq(now.status, before->status);
    ck_assert_uint_eq(now.attempt, before->attempt);
    ck_assert_int_eq(now.created_at_ms, before->created_at_ms);
    ck_assert_int_eq(now.updated_at_ms, before->updated_at_ms);
    ck_assert_uint_eq(now.lease_ms, before->lease_ms);
    ck_assert_uint_eq(now.ttl_ms, before->ttl_ms);
    assert_bytes(now.fingerprint, before->fingerprint);
    assert_bytes(now.response, before->response);
    assert_bytes(now.checkpoint, before->checkpoint);
    idem_record_clear(&now);
    idem_record_clear(before);
}

void assert_absent(void)
{
    idem_record record;
    assert_error(IDEM_ERR_NOT_FOUND, idem_get(other, KEY, &record, &err));
}
