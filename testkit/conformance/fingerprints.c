/* SPDX-License-Identifier: MIT */
/* Fingerprints: the row Mismatch of the state machine, and what becomes of them in the record. */
#include "conformance.h"

#define MINE   idem_str("sha256:mine")
#define THEIRS idem_str("sha256:their")

static idem_outcome claim_with(idem_bytes fingerprint, uint64_t lease_ms)
{
    idem_outcome out = BEGIN(one, .key = KEY, .fingerprint = fingerprint, .lease_ms = lease_ms);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    return out;
}

static void assert_kind_with(idem_bytes fingerprint, const uint8_t *token, uint64_t flags,
                             idem_outcome_kind kind)
{
    idem_outcome out = BEGIN(other, .key = KEY, .fingerprint = fingerprint, .token = token,
                             .flags = flags, .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, kind);
    idem_outcome_clear(&out);
}

static void assert_fingerprint(idem_bytes expected)
{
    idem_record record = record_now();
    assert_bytes(record.fingerprint, expected);
    idem_record_clear(&record);
}

START_TEST(begin_other_fingerprint_is_mismatch_on_a_live_claim)
{
    idem_outcome mine = claim_with(MINE, LONG_MS);
    idem_record before = record_now();
    assert_kind_with(THEIRS, NULL, 0, IDEM_MISMATCH);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_other_fingerprint_is_mismatch_on_an_expired_claim)
{
    idem_outcome mine = claim_with(MINE, SHORT_MS);
    advance(SHORT_MS);
    idem_record before = record_now();
    assert_kind_with(THEIRS, NULL, 0, IDEM_MISMATCH);
    assert_kind_with(THEIRS, NULL, IDEM_NO_TAKEOVER, IDEM_MISMATCH);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_other_fingerprint_is_mismatch_on_a_completed_key)
{
    idem_outcome mine = claim_with(MINE, LONG_MS);
    assert_ok(idem_complete(one, mine.claim, idem_str("1"), &err));
    idem_record before = record_now();
    assert_text(before.fingerprint, "sha256:mine");
    assert_kind_with(THEIRS, NULL, 0, IDEM_MISMATCH);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_other_fingerprint_is_mismatch_under_my_own_token_too)
{
    idem_outcome mine = claim_with(MINE, LONG_MS);
    idem_record before = record_now();
    assert_kind_with(THEIRS, idem_claim_token(mine.claim), 0, IDEM_MISMATCH);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(fingerprints_that_begin_alike_are_different)
{
    idem_outcome mine = claim_with(idem_str("abc"), LONG_MS);
    assert_kind_with(idem_str("ab"), NULL, 0, IDEM_MISMATCH);
    assert_kind_with(idem_str("abcd"), NULL, 0, IDEM_MISMATCH);
    idem_bytes with_nul = {"abc\0", 4};
    assert_kind_with(with_nul, NULL, 0, IDEM_MISMATCH);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_equal_fingerprint_is_as_without)
{
    idem_outcome mine = claim_with(MINE, LONG_MS);
    assert_kind_with(MINE, NULL, 0, IDEM_IN_PROGRESS);
    assert_kind_with(MINE, idem_claim_token(mine.claim), 0, IDEM_NEW);
    assert_ok(idem_complete(one, mine.claim, idem_str("1"), &err));
    assert_kind_with(MINE, NULL, 0, IDEM_COMPLETED);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(a_fingerprint_on_one_side_only_is_no_mismatch)
{
    idem_bytes none = {NULL, 0};
    idem_outcome mine = claim_with(MINE, LONG_MS);
    assert_kind_with(none, NULL, 0, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(one, mine.claim, idem_str("1"), &err));
    assert_kind_with(none, NULL, 0, IDEM_COMPLETED);
    idem_outcome_clear(&mine);
    assert_ok(idem_forget(one, KEY, &err));
    complete_key(one, "2");
    assert_kind_with(THEIRS, NULL, 0, IDEM_COMPLETED);
    assert_fingerprint(none);
}
END_TEST

START_TEST(takeover_with_a_fingerprint_sets_it)
{
    idem_outcome mine = expired_claim();
    assert_kind_with(THEIRS, NULL, 0, IDEM_NEW);
    assert_fingerprint(THEIRS);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(takeover_without_a_fingerprint_keeps_it)
{
    idem_bytes none = {NULL, 0};
    idem_outcome mine = claim_with(MINE, SHORT_MS);
    advance(SHORT_MS);
    assert_kind_with(none, NULL, 0, IDEM_NEW);
    assert_fingerprint(MINE);
    assert_kind_with(THEIRS, NULL, 0, IDEM_MISMATCH);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(a_fingerprint_of_64_bytes_of_any_value_comes_back)
{
    char bytes[IDEM_FINGERPRINT_MAX];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 4);
    idem_bytes fingerprint = {bytes, sizeof bytes};
    idem_outcome mine = claim_with(fingerprint, LONG_MS);
    assert_fingerprint(fingerprint);
    assert_kind_with(fingerprint, NULL, 0, IDEM_IN_PROGRESS);
    bytes[63]++;
    assert_kind_with(fingerprint, NULL, 0, IDEM_MISMATCH);
    idem_outcome_clear(&mine);
}
END_TEST

void conformance_fingerprints(Suite *suite)
{
    ADD(suite, "fingerprints", 0, ANY_TIME, begin_other_fingerprint_is_mismatch_on_a_live_claim,
        begin_other_fingerprint_is_mismatch_on_an_expired_claim,
        begin_other_fingerprint_is_mismatch_on_a_completed_key,
        begin_other_fingerprint_is_mismatch_under_my_own_token_too,
        fingerprints_that_begin_alike_are_different, begin_equal_fingerprint_is_as_without,
        a_fingerprint_on_one_side_only_is_no_mismatch, takeover_with_a_fingerprint_sets_it,
        takeover_without_a_fingerprint_keeps_it, a_fingerprint_of_64_bytes_of_any_value_comes_back);
}
