/* SPDX-License-Identifier: MIT */
/* What operators decide about a key: forget, only what has expired, whatever is there; settle. And
   tokens that are made before a claim. */
#include "conformance.h"

#include <string.h>

/* --------------------------------------------------------------------------------------- settle */

START_TEST(settle_answers_for_an_owner_that_crashed)
{
    idem_outcome mine = claim_key(one, SHORT_MS);
    assert_ok(idem_checkpoint(one, mine.claim, idem_str("[1]"), &err));
    advance(SHORT_MS);
    idem_record before = record_now();
    assert_ok(idem_settle(other, KEY, idem_str("\"by hand\""), &err));
    idem_record after = record_now();
    ck_assert(after.status == IDEM_STATUS_COMPLETED && after.attempt == before.attempt);
    ck_assert(after.created_at_ms == before.created_at_ms && after.ttl_ms == before.ttl_ms);
    ck_assert_uint_eq(after.checkpoint.len, 0);
    ck_assert_uint_ne(after.version, before.version);
    idem_record_clear(&before);
    idem_record_clear(&after);
    assert_replayed(one, "\"by hand\"");
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(a_late_owner_is_told_that_its_key_was_settled)
{
    idem_outcome mine = expired_claim();
    assert_ok(idem_settle(other, KEY, idem_str("\"by hand\""), &err));
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_renew(one, mine.claim, 0, &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(one, mine.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_LOST, idem_complete(one, mine.claim, idem_str("\"late\""), &err));
    ck_assert(idem_claim_lost(mine.claim));
    assert_ok(idem_release(one, mine.claim, &err));
    assert_unchanged(&before);
    assert_replayed(one, "\"by hand\"");
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(settle_leaves_a_live_claim_alone_and_says_for_how_long)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_settle(other, KEY, idem_str("1"), &err));
    ck_assert_msg(strstr(err.message, "live owner") && strstr(err.message, "charge-42") &&
                      strstr(err.message, " ms"),
                  "%s", err.message);
    assert_unchanged(&before);
    assert_ok(idem_complete(one, mine.claim, idem_str("\"owner\""), &err));
    before = record_now();
    assert_error(IDEM_ERR_LOST, idem_settle(other, KEY, idem_str("1"), &err));
    ck_assert_msg(strstr(err.message, "completed"), "%s", err.message);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(settle_of_an_absent_key_is_not_found)
{
    assert_error(IDEM_ERR_NOT_FOUND, idem_settle(one, KEY, idem_str("1"), &err));
    assert_absent();
}
END_TEST

START_TEST(settle_takes_what_complete_takes)
{
    idem_outcome mine = expired_claim();
    idem_record before = record_now();
    assert_error(IDEM_ERR_ARGUMENT, idem_settle(one, KEY, idem_str("{]"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_settle(one, KEY, (idem_bytes){NULL, 0}, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_settle(one, (idem_bytes){NULL, 0}, idem_str("1"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_settle(NULL, KEY, idem_str("1"), &err));
    idem_store *small = open_more("max_response=4B");
    assert_error(IDEM_ERR_TOO_LARGE, idem_settle(small, KEY, idem_str("12345"), &err));
    idem_close(small);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(a_settled_key_keeps_its_fingerprint)
{
    idem_outcome mine =
        BEGIN(one, .key = KEY, .fingerprint = idem_str("body"), .lease_ms = SHORT_MS);
    advance(SHORT_MS);
    assert_ok(idem_settle(other, KEY, idem_str("1"), &err));
    idem_outcome out = BEGIN(one, .key = KEY, .fingerprint = idem_str("another"));
    ck_assert_int_eq(out.kind, IDEM_MISMATCH);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

/* --------------------------------------------------------------------------------------- forget */

START_TEST(forget_expired_takes_what_no_live_owner_holds)
{
    idem_outcome mine = expired_claim();
    assert_ok(idem_forget_expired(other, KEY, &err));
    assert_absent();
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, mine.claim, idem_str("1"), &err));
    assert_ok(idem_forget_expired(other, KEY, &err)); /* absent */
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(forget_expired_leaves_live_claims_and_responses)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_forget_expired(other, KEY, &err));
    ck_assert_msg(strstr(err.message, "live owner"), "%s", err.message);
    assert_unchanged(&before);
    assert_ok(idem_complete(one, mine.claim, idem_str("1"), &err));
    before = record_now();
    assert_error(IDEM_ERR_LOST, idem_forget_expired(other, KEY, &err));
    ck_assert_msg(strstr(err.message, "completed"), "%s", err.message);
    assert_unchanged(&before);
    assert_error(IDEM_ERR_ARGUMENT, idem_forget_expired(NULL, KEY, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_forget_expired(one, (idem_bytes){NULL, 0}, &err));
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(forget_any_takes_every_record)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    assert_ok(idem_forget_any(other, KEY, &err));
    assert_absent();
    idem_outcome_clear(&mine);
    complete_key(one, "1");
    assert_ok(idem_forget_any(other, KEY, &err));
    assert_absent();
    assert_ok(idem_forget_any(other, KEY, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_forget_any(NULL, KEY, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_forget_any(one, (idem_bytes){NULL, 0}, &err));
}
END_TEST

/* --------------------------------------------------------------------------------------- tokens */

START_TEST(a_token_that_was_made_makes_the_same_caller)
{
    uint8_t token[IDEM_TOKEN_SIZE] = {0};
    uint8_t another[IDEM_TOKEN_SIZE] = {0};
    assert_ok(idem_token_make(token, &err));
    assert_ok(idem_token_make(another, &err));
    ck_assert_mem_ne(token, another, sizeof token);
    assert_error(IDEM_ERR_ARGUMENT, idem_token_make(NULL, &err));
    idem_outcome first = BEGIN(one, .key = KEY, .token = token);
    idem_outcome again = BEGIN(other, .key = KEY, .token = token);
    idem_outcome stranger = BEGIN(other, .key = KEY, .token = another);
    ck_assert(first.kind == IDEM_NEW && again.kind == IDEM_NEW && again.attempt == 1);
    ck_assert_int_eq(stranger.kind, IDEM_IN_PROGRESS);
    ck_assert_mem_eq(idem_claim_token(first.claim), token, sizeof token);
    idem_outcome_clear(&stranger);
    idem_outcome_clear(&again);
    idem_outcome_clear(&first);
}
END_TEST

void conformance_operators(Suite *suite)
{
    ADD(suite, "settle", 0, ANY_TIME, settle_answers_for_an_owner_that_crashed,
        a_late_owner_is_told_that_its_key_was_settled,
        settle_leaves_a_live_claim_alone_and_says_for_how_long,
        settle_of_an_absent_key_is_not_found, settle_takes_what_complete_takes,
        a_settled_key_keeps_its_fingerprint);
    ADD(suite, "forget some", 0, ANY_TIME, forget_expired_takes_what_no_live_owner_holds,
        forget_expired_leaves_live_claims_and_responses, forget_any_takes_every_record);
    ADD(suite, "tokens", 0, ANY_TIME, a_token_that_was_made_makes_the_same_caller);
}
