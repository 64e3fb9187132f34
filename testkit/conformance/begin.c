/* SPDX-License-Identifier: MIT */
/* The rows of the state machine that are begin's: what is found, what is answered, and what the
   record is afterwards. */
#include "conformance.h"

#include <time.h>

#define NEAR_MS INT64_C(60000) /* wall clocks of one machine, with room for a slow test */

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void assert_is_recent(int64_t at_ms)
{
    ck_assert_int_le(llabs((long long)(wall_ms() - at_ms)), NEAR_MS);
}

/* ------------------------------------------------------------------------------------- absent */

START_TEST(begin_absent_is_new_attempt_1)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    idem_outcome out = BEGIN(one, .key = KEY);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    ck_assert_uint_eq(out.checkpoint.len, 0);
    ck_assert(memcmp(idem_claim_token(out.claim), none, sizeof none) != 0);
    ck_assert(!idem_claim_lost(out.claim));
    assert_is_recent(out.created_at_ms);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(begin_absent_leaves_an_in_progress_record)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = 30000, .ttl_ms = 7200000,
                             .fingerprint = idem_str("content"));
    idem_record record = record_now();
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(record.attempt, 1);
    ck_assert_uint_eq(record.lease_ms, 30000);
    ck_assert_uint_eq(record.ttl_ms, 7200000);
    ck_assert_uint_eq(record.response.len, 0);
    ck_assert_uint_eq(record.checkpoint.len, 0);
    ck_assert_int_eq(record.created_at_ms, out.created_at_ms);
    assert_is_recent(record.updated_at_ms);
    assert_text(record.fingerprint, "content");
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(begin_absent_stores_my_token)
{
    idem_claim *claim = NULL;
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_resume(other, KEY, idem_claim_token(out.claim), &claim, &err));
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(begin_with_a_token_of_mine_claims_under_it)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {0xff, 0, 1, 0x80, '"', '\n'};
    idem_outcome out = BEGIN(one, .key = KEY, .token = token);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_mem_eq(idem_claim_token(out.claim), token, sizeof token);
    idem_claim *claim = NULL;
    assert_ok(idem_resume(other, KEY, token, &claim, &err));
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(begin_of_two_keys_gives_two_tokens)
{
    idem_outcome first = BEGIN(one, .key = idem_str("a"));
    idem_outcome second = BEGIN(one, .key = idem_str("b"));
    ck_assert_int_eq(second.kind, IDEM_NEW);
    ck_assert_mem_ne(idem_claim_token(first.claim), idem_claim_token(second.claim),
                     IDEM_TOKEN_SIZE);
    idem_outcome_clear(&first);
    idem_outcome_clear(&second);
}
END_TEST

/* ------------------------------------------------------------------------------- my own token */

START_TEST(begin_own_token_is_new_same_attempt_and_changes_nothing)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    idem_outcome again = BEGIN(one, .key = KEY, .token = idem_claim_token(out.claim));
    ck_assert_int_eq(again.kind, IDEM_NEW);
    ck_assert_uint_eq(again.attempt, 1);
    ck_assert_int_eq(again.created_at_ms, out.created_at_ms);
    assert_unchanged(&before);
    assert_ok(idem_complete(one, again.claim, idem_str("1"), &err));
    idem_outcome_clear(&again);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(begin_own_token_is_new_through_another_handle_too)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_outcome again = BEGIN(other, .key = KEY, .token = idem_claim_token(out.claim));
    ck_assert_int_eq(again.kind, IDEM_NEW);
    ck_assert_uint_eq(again.attempt, 1);
    assert_ok(idem_complete(other, again.claim, idem_str("\"done\""), &err));
    assert_replayed(one, "\"done\"");
    idem_outcome_clear(&again);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(begin_own_token_after_my_takeover_tells_attempt_and_checkpoint_again)
{
    idem_outcome first = claim_key(one, SHORT_MS);
    assert_ok(idem_checkpoint(one, first.claim, idem_str("{\"step\":3}"), &err));
    advance(SHORT_MS);
    idem_outcome taken = take_over(2);
    idem_record before = record_now();
    idem_outcome again = BEGIN(other, .key = KEY, .token = idem_claim_token(taken.claim));
    ck_assert_int_eq(again.kind, IDEM_NEW);
    ck_assert_uint_eq(again.attempt, 2);
    assert_text(again.checkpoint, "{\"step\":3}");
    assert_unchanged(&before);
    idem_outcome_clear(&again);
    idem_outcome_clear(&taken);
    idem_outcome_clear(&first);
}
END_TEST

START_TEST(begin_own_token_after_my_lease_expired_is_new_same_attempt)
{
    idem_outcome out = claim_key(one, SHORT_MS);
    assert_ok(idem_checkpoint(one, out.claim, idem_str("[1]"), &err));
    advance(SHORT_MS);
    idem_record before = record_now();
    idem_outcome again = BEGIN(one, .key = KEY, .token = idem_claim_token(out.claim),
                               .lease_ms = LONG_MS, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(again.kind, IDEM_NEW);
    ck_assert_uint_eq(again.attempt, 1);
    ck_assert_int_eq(again.created_at_ms, before.created_at_ms);
    assert_text(again.checkpoint, "[1]");
    idem_record now = record_now();
    ck_assert(now.version != before.version && now.lease_ms == LONG_MS && now.attempt == 1);
    assert_text(now.checkpoint, "[1]");
    assert_outcome(other, IDEM_IN_PROGRESS); /* nobody takes it over at once */
    assert_ok(idem_complete(one, again.claim, idem_str("1"), &err));
    idem_record_clear(&before);
    idem_record_clear(&now);
    idem_outcome_clear(&again);
    idem_outcome_clear(&out);
}
END_TEST

/* ---------------------------------------------------------------------------------- lease live */

START_TEST(begin_live_is_in_progress_with_the_time_left_and_changes_nothing)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    idem_record before = record_now();
    advance(SHORT_MS);
    idem_outcome out = BEGIN(other, .key = KEY);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_le(out.retry_after_ms, LONG_MS - SHORT_MS);
    ck_assert_uint_gt(out.retry_after_ms, time_is_ours() ? LONG_MS - SHORT_MS - 1 : LONG_MS / 2);
    ck_assert_int_eq(out.created_at_ms, mine.created_at_ms);
    assert_unchanged(&before);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_live_is_in_progress_on_the_claimers_own_handle_too)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    assert_outcome(one, IDEM_IN_PROGRESS);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_live_does_not_take_the_callers_lease_and_ttl)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    idem_record before = record_now();
    idem_outcome out = BEGIN(other, .key = KEY, .lease_ms = 1, .ttl_ms = 1);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    assert_unchanged(&before);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

/* ------------------------------------------------------------------------------- lease expired */

START_TEST(begin_expired_is_taken_over_with_attempt_2)
{
    idem_outcome mine = expired_claim();
    idem_record before = record_now();
    idem_outcome out = BEGIN(other, .key = KEY, .lease_ms = LONG_MS, .ttl_ms = 7200000);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 2);
    ck_assert_mem_ne(idem_claim_token(out.claim), idem_claim_token(mine.claim), IDEM_TOKEN_SIZE);
    ck_assert_int_eq(out.created_at_ms, mine.created_at_ms);
    idem_record after = record_now();
    ck_assert_int_eq(after.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(after.attempt, 2);
    ck_assert(after.version != before.version);
    ck_assert_int_eq(after.created_at_ms, before.created_at_ms);
    ck_assert_uint_eq(after.lease_ms, LONG_MS);
    ck_assert_uint_eq(after.ttl_ms, 7200000);
    idem_record_clear(&after);
    idem_record_clear(&before);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_expired_gives_the_last_checkpoint_which_stays_for_the_next)
{
    idem_outcome first = claim_key(one, SHORT_MS);
    assert_ok(idem_checkpoint(one, first.claim, idem_str("[1, 2.0]"), &err));
    advance(SHORT_MS);
    idem_outcome second = BEGIN(other, .key = KEY, .lease_ms = SHORT_MS);
    ck_assert_uint_eq(second.attempt, 2);
    assert_text(second.checkpoint, "[1, 2.0]");
    idem_record record = record_now();
    assert_text(record.checkpoint, "[1, 2.0]");
    idem_record_clear(&record);
    advance(SHORT_MS);
    idem_outcome third = take_over(3);
    assert_text(third.checkpoint, "[1, 2.0]");
    idem_outcome_clear(&third);
    idem_outcome_clear(&second);
    idem_outcome_clear(&first);
}
END_TEST

START_TEST(begin_expired_stores_the_new_owners_token)
{
    idem_claim *claim = NULL;
    idem_outcome mine = expired_claim();
    idem_outcome out = take_over(2);
    assert_ok(idem_resume(one, KEY, idem_claim_token(out.claim), &claim, &err));
    idem_claim_free(claim);
    assert_error(IDEM_ERR_LOST, idem_resume(one, KEY, idem_claim_token(mine.claim), &claim, &err));
    assert_outcome(one, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

/* ------------------------------------------------------------------------ told not to take over */

START_TEST(begin_no_takeover_expired_is_in_doubt_with_attempt_and_checkpoint)
{
    idem_outcome mine = claim_key(one, SHORT_MS);
    assert_ok(idem_checkpoint(one, mine.claim, idem_str("{\"sent\":true}"), &err));
    advance(SHORT_MS);
    idem_record before = record_now();
    idem_outcome out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_DOUBT);
    ck_assert_uint_eq(out.attempt, 1);
    assert_text(out.checkpoint, "{\"sent\":true}");
    ck_assert_int_eq(out.created_at_ms, mine.created_at_ms);
    assert_unchanged(&before);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_no_takeover_live_is_in_progress_and_absent_is_new)
{
    idem_outcome mine = BEGIN(one, .key = KEY, .flags = IDEM_NO_TAKEOVER, .lease_ms = LONG_MS);
    ck_assert_int_eq(mine.kind, IDEM_NEW);
    idem_outcome out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(in_doubt_ends_when_the_owner_completes)
{
    idem_outcome mine = expired_claim();
    idem_outcome out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_DOUBT);
    idem_outcome_clear(&out);
    assert_ok(idem_complete(one, mine.claim, idem_str("\"late\""), &err));
    out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_text(out.response, "\"late\"");
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(in_doubt_ends_when_somebody_forgets_the_key)
{
    idem_outcome mine = expired_claim();
    assert_ok(idem_forget(other, KEY, &err));
    idem_outcome out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(in_doubt_ends_with_the_retention)
{
    uint64_t ttl_ms = span_ms();
    idem_outcome mine = BEGIN(one, .key = KEY, .lease_ms = SHORT_MS, .ttl_ms = ttl_ms);
    advance(SHORT_MS);
    assert_outcome_with(other, IDEM_NO_TAKEOVER, IDEM_IN_DOUBT); /* the crash has left its trace */
    advance(ttl_ms);
    idem_outcome out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(in_doubt_is_taken_over_by_a_begin_that_may)
{
    idem_outcome mine = expired_claim();
    idem_outcome out = BEGIN(other, .key = KEY, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_DOUBT);
    idem_outcome_clear(&out);
    out = take_over(2);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

/* ---------------------------------------------------------------------------------- completed */

START_TEST(begin_completed_gives_the_response_and_changes_nothing)
{
    complete_key(one, "{\"charged\": true}");
    idem_record before = record_now();
    idem_outcome out = BEGIN(other, .key = KEY, .lease_ms = 1, .ttl_ms = 1);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_text(out.response, "{\"charged\": true}");
    ck_assert_int_eq(out.created_at_ms, before.created_at_ms);
    idem_outcome_clear(&out);
    assert_unchanged(&before);
    assert_replayed(one, "{\"charged\": true}");
}
END_TEST

START_TEST(begin_completed_gives_the_response_to_its_own_token_too)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, mine.claim, idem_str("7"), &err));
    idem_record before = record_now();
    idem_outcome out = BEGIN(one, .key = KEY, .token = idem_claim_token(mine.claim));
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_text(out.response, "7");
    idem_outcome_clear(&out);
    assert_unchanged(&before);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(begin_completed_is_never_taken_over)
{
    idem_outcome mine = claim_key(one, SHORT_MS);
    assert_ok(idem_complete(one, mine.claim, idem_str("7"), &err));
    advance(2 * SHORT_MS);
    assert_replayed(other, "7");
    idem_outcome_clear(&mine);
}
END_TEST

void conformance_begin(Suite *suite)
{
    ADD(suite, "begin absent", 0, ANY_TIME, begin_absent_is_new_attempt_1,
        begin_absent_leaves_an_in_progress_record, begin_absent_stores_my_token,
        begin_with_a_token_of_mine_claims_under_it, begin_of_two_keys_gives_two_tokens);
    ADD(suite, "begin own token", 0, ANY_TIME,
        begin_own_token_is_new_same_attempt_and_changes_nothing,
        begin_own_token_is_new_through_another_handle_too,
        begin_own_token_after_my_takeover_tells_attempt_and_checkpoint_again,
        begin_own_token_after_my_lease_expired_is_new_same_attempt);
    ADD(suite, "begin live", 0, ANY_TIME,
        begin_live_is_in_progress_with_the_time_left_and_changes_nothing,
        begin_live_is_in_progress_on_the_claimers_own_handle_too,
        begin_live_does_not_take_the_callers_lease_and_ttl);
    ADD(suite, "begin expired", 0, ANY_TIME, begin_expired_is_taken_over_with_attempt_2,
        begin_expired_gives_the_last_checkpoint_which_stays_for_the_next,
        begin_expired_stores_the_new_owners_token);
    ADD(suite, "begin in doubt", 0, ANY_TIME,
        begin_no_takeover_expired_is_in_doubt_with_attempt_and_checkpoint,
        begin_no_takeover_live_is_in_progress_and_absent_is_new,
        in_doubt_ends_when_the_owner_completes, in_doubt_ends_when_somebody_forgets_the_key,
        in_doubt_ends_with_the_retention, in_doubt_is_taken_over_by_a_begin_that_may);
    ADD(suite, "begin completed", 0, ANY_TIME,
        begin_completed_gives_the_response_and_changes_nothing,
        begin_completed_gives_the_response_to_its_own_token_too,
        begin_completed_is_never_taken_over);
}
