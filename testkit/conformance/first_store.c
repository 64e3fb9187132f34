/* SPDX-License-Identifier: MIT */
/*
 * What the first idempotency store of this kind, a Rust library on Redis, was tested for, under
 * the names that its four tests have there. It had no tokens, and its begin and complete named the
 * key alone; here complete goes through the claim, and an unknown key is one whose record is gone.
 */
#include "conformance.h"

START_TEST(new_in_progress_complete_replay)
{
    idem_outcome first = BEGIN(one, .key = KEY, .lease_ms = LONG_MS);
    idem_outcome second = BEGIN(other, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_int_eq(first.kind, IDEM_NEW);
    ck_assert_int_eq(second.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&second);
    assert_ok(idem_complete(one, first.claim, idem_str("{\"charged\":true,\"amount\":100}"), &err));
    second = BEGIN(other, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_int_eq(second.kind, IDEM_COMPLETED);
    assert_text(second.response, "{\"charged\":true,\"amount\":100}");
    idem_outcome_clear(&second);
    idem_outcome_clear(&first);
}
END_TEST

START_TEST(complete_unknown_key_errors)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS);
    assert_ok(idem_forget(one, KEY, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, out.claim, idem_str("null"), &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(get_returns_record_lifecycle)
{
    idem_record record;
    assert_error(IDEM_ERR_NOT_FOUND, idem_get(one, KEY, &record, &err));
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS);
    assert_ok(idem_get(one, KEY, &record, &err));
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(record.response.len, 0);
    idem_record_clear(&record);
    assert_ok(idem_complete(one, out.claim, idem_str("42"), &err));
    assert_ok(idem_get(one, KEY, &record, &err));
    ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
    assert_text(record.response, "42");
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(distinct_keys_are_independent)
{
    idem_outcome a = BEGIN(one, .key = idem_str("missing:a"), .lease_ms = LONG_MS);
    idem_outcome b = BEGIN(one, .key = idem_str("missing:b"), .lease_ms = LONG_MS);
    idem_outcome again = BEGIN(one, .key = idem_str("missing:a"), .lease_ms = LONG_MS);
    ck_assert_int_eq(a.kind, IDEM_NEW);
    ck_assert_int_eq(b.kind, IDEM_NEW);
    ck_assert_int_eq(again.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&again);
    idem_outcome_clear(&b);
    idem_outcome_clear(&a);
}
END_TEST

void conformance_first_store(Suite *suite)
{
    ADD(suite, "first store", 0, ANY_TIME, new_in_progress_complete_replay,
        complete_unknown_key_errors, get_returns_record_lifecycle, distinct_keys_are_independent);
}
