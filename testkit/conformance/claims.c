/* SPDX-License-Identifier: MIT */
/* The rows of the state machine that are a claim's: complete, renew, checkpoint, release. */
#include "conformance.h"

/* A claim by `one` that `other` has taken over. */
typedef struct {
    idem_outcome old;
    idem_outcome owner;
} takeover;

static takeover taken_over(void)
{
    takeover claims;
    claims.old = expired_claim();
    claims.owner = take_over(2);
    return claims;
}

static void clear_both(takeover *claims)
{
    idem_outcome_clear(&claims->old);
    idem_outcome_clear(&claims->owner);
}

/* ----------------------------------------------------------------------------------- complete */

START_TEST(complete_stores_the_response)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .ttl_ms = 7200000,
                             .fingerprint = idem_str("f"));
    idem_record before = record_now();
    assert_ok(idem_complete(one, out.claim, idem_str(" {\"ok\" : 1} "), &err));
    idem_record after = record_now();
    ck_assert_int_eq(after.status, IDEM_STATUS_COMPLETED);
    assert_text(after.response, " {\"ok\" : 1} ");
    assert_text(after.fingerprint, "f");
    ck_assert_uint_eq(after.attempt, 1);
    ck_assert_int_eq(after.created_at_ms, before.created_at_ms);
    ck_assert_uint_eq(after.ttl_ms, 7200000);
    ck_assert(after.version != before.version);
    ck_assert(!idem_claim_lost(out.claim));
    idem_record_clear(&after);
    idem_record_clear(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(complete_drops_the_checkpoint)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_checkpoint(one, out.claim, idem_str("1"), &err));
    assert_ok(idem_complete(one, out.claim, idem_str("2"), &err));
    idem_record record = record_now();
    ck_assert_uint_eq(record.checkpoint.len, 0);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(complete_after_expiry_without_takeover_still_counts)
{
    idem_outcome out = expired_claim();
    assert_ok(idem_complete(one, out.claim, idem_str("\"late\""), &err));
    assert_replayed(other, "\"late\"");
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(complete_again_is_ok_and_keeps_the_first_response)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_record before = record_now();
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    assert_ok(idem_complete(one, out.claim, idem_str("2"), &err));
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_claim_is_changed_by_the_store_that_made_it_alone)
{
    idem_error errors[1];
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    const idem_bytes text = idem_str("1");
    assert_error(IDEM_ERR_ARGUMENT, idem_complete(other, out.claim, text, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_renew(other, out.claim, 0, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_checkpoint(other, out.claim, text, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_release(other, out.claim, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_many(other, &out.claim, &text, 1, errors, &err));
    ck_assert(errors[0].code == IDEM_ERR_ARGUMENT && strstr(errors[0].message, "another store"));
    ck_assert(!idem_claim_lost(out.claim));
    assert_unchanged(&before);
    assert_ok(idem_release(one, out.claim, &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_claim_of_a_closed_store_is_no_claim_of_the_next)
{
    idem_store *first = open_more("");
    idem_outcome out = BEGIN(first, .key = idem_str("of a closed store"), .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_close(first);
    for (int i = 0; i < 20; i++) { /* some of them where the first one was */
        idem_store *next = open_more("");
        assert_error(IDEM_ERR_ARGUMENT, idem_complete(next, out.claim, idem_str("1"), &err));
        assert_error(IDEM_ERR_ARGUMENT, idem_release(next, out.claim, &err));
        idem_close(next);
    }
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(complete_under_another_token_is_lost_while_in_progress)
{
    takeover claims = taken_over();
    idem_record before = record_now();
    ck_assert(!idem_claim_lost(claims.old.claim));
    assert_error(IDEM_ERR_LOST, idem_complete(one, claims.old.claim, idem_str("1"), &err));
    ck_assert(idem_claim_lost(claims.old.claim));
    assert_unchanged(&before);
    clear_both(&claims);
}
END_TEST

START_TEST(complete_under_another_token_is_lost_after_its_completion)
{
    takeover claims = taken_over();
    assert_ok(idem_complete(other, claims.owner.claim, idem_str("\"owner\""), &err));
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_complete(one, claims.old.claim, idem_str("\"old\""), &err));
    assert_unchanged(&before);
    clear_both(&claims);
}
END_TEST

START_TEST(complete_absent_is_not_found_and_stays_absent)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_forget(other, KEY, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, out.claim, idem_str("1"), &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(complete_after_my_release_is_not_found)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_release(one, out.claim, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, out.claim, idem_str("1"), &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------- renew, checkpoint */

START_TEST(renew_starts_the_lease_anew_and_keeps_its_length)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    advance(SHORT_MS);
    assert_ok(idem_renew(one, out.claim, 0, &err));
    idem_record after = record_now();
    ck_assert_uint_eq(after.lease_ms, LONG_MS);
    ck_assert(after.version != before.version);
    ck_assert_int_eq(after.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(after.attempt, 1);
    if (time_is_ours())
        ck_assert_uint_eq(idem_record_lease_left_ms(&after), LONG_MS);
    idem_record_clear(&after);
    idem_record_clear(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(renew_with_a_lease_sets_its_length)
{
    idem_outcome out = claim_key(one, SHORT_MS);
    assert_ok(idem_renew(one, out.claim, LONG_MS, &err));
    advance(2 * SHORT_MS);
    assert_outcome(other, IDEM_IN_PROGRESS);
    assert_ok(idem_renew(one, out.claim, SHORT_MS, &err));
    advance(SHORT_MS);
    idem_outcome taken = take_over(2);
    idem_outcome_clear(&taken);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(renew_after_expiry_without_takeover_is_ok)
{
    idem_outcome out = expired_claim();
    assert_ok(idem_renew(one, out.claim, LONG_MS, &err));
    assert_outcome(other, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(renew_keeps_the_checkpoint)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_checkpoint(one, out.claim, idem_str("[7]"), &err));
    assert_ok(idem_renew(one, out.claim, 0, &err));
    idem_record record = record_now();
    assert_text(record.checkpoint, "[7]");
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(checkpoint_starts_the_lease_anew)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    advance(SHORT_MS);
    assert_ok(idem_checkpoint(one, out.claim, idem_str("1"), &err));
    idem_record after = record_now();
    ck_assert(after.version != before.version);
    ck_assert_uint_eq(after.lease_ms, LONG_MS);
    ck_assert_int_eq(after.status, IDEM_STATUS_IN_PROGRESS);
    if (time_is_ours())
        ck_assert_uint_eq(idem_record_lease_left_ms(&after), LONG_MS);
    idem_record_clear(&after);
    idem_record_clear(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(checkpoint_after_expiry_without_takeover_is_ok)
{
    idem_outcome out = expired_claim();
    assert_ok(idem_checkpoint(one, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(checkpoint_replaces_the_last_one_and_an_empty_text_removes_it)
{
    static const char *const texts[] = {"{\"step\":1}", "[2 , 2]", ""};
    idem_outcome out = claim_key(one, LONG_MS);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_ok(idem_checkpoint(one, out.claim, idem_str(texts[i]), &err));
        idem_record record = record_now();
        assert_text(record.checkpoint, texts[i]);
        idem_record_clear(&record);
    }
    assert_ok(idem_checkpoint(one, out.claim, (idem_bytes){NULL, 0}, &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(renew_and_checkpoint_under_another_token_are_lost)
{
    takeover claims = taken_over();
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_renew(one, claims.old.claim, 0, &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(one, claims.old.claim, idem_str("1"), &err));
    ck_assert(idem_claim_lost(claims.old.claim));
    assert_unchanged(&before);
    assert_ok(idem_complete(other, claims.owner.claim, idem_str("1"), &err));
    before = record_now();
    assert_error(IDEM_ERR_LOST, idem_renew(one, claims.old.claim, 0, &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(one, claims.old.claim, idem_str("1"), &err));
    assert_unchanged(&before);
    clear_both(&claims);
}
END_TEST

START_TEST(renew_and_checkpoint_after_my_completion_are_lost)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_renew(one, out.claim, 0, &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(one, out.claim, idem_str("1"), &err));
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(renew_and_checkpoint_of_an_absent_key_are_not_found)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_forget(other, KEY, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_renew(one, out.claim, 0, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_checkpoint(one, out.claim, idem_str("1"), &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

/* ------------------------------------------------------------------------------------ release */

START_TEST(release_gives_the_key_back_and_the_next_begin_is_attempt_1)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_release(one, out.claim, &err));
    assert_absent();
    idem_outcome next = claim_key(other, LONG_MS);
    ck_assert_uint_eq(next.checkpoint.len, 0);
    idem_outcome_clear(&next);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(release_after_expiry_without_takeover_gives_the_key_back)
{
    idem_outcome out = expired_claim();
    assert_ok(idem_release(one, out.claim, &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(release_of_an_absent_key_is_ok)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_release(one, out.claim, &err));
    assert_ok(idem_release(one, out.claim, &err));
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(release_after_my_completion_changes_nothing)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_record before = record_now();
    assert_ok(idem_release(one, out.claim, &err));
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(release_under_another_token_changes_nothing)
{
    takeover claims = taken_over();
    idem_record before = record_now();
    assert_ok(idem_release(one, claims.old.claim, &err));
    assert_unchanged(&before);
    assert_ok(idem_complete(other, claims.owner.claim, idem_str("1"), &err));
    before = record_now();
    assert_ok(idem_release(one, claims.old.claim, &err));
    assert_unchanged(&before);
    clear_both(&claims);
}
END_TEST

START_TEST(release_does_not_touch_the_claim_of_a_later_caller)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_release(one, out.claim, &err));
    idem_outcome later = claim_key(other, LONG_MS);
    idem_record before = record_now();
    assert_ok(idem_release(one, out.claim, &err));
    assert_unchanged(&before);
    idem_outcome_clear(&later);
    idem_outcome_clear(&out);
}
END_TEST

/* ----------------------------------------------------------------------------- claim objects */

START_TEST(clearing_an_outcome_leaves_the_record_as_it_is)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    idem_outcome_clear(&out);
    ck_assert_ptr_null(out.claim);
    ck_assert_int_eq(out.kind, 0);
    idem_outcome_clear(&out);
    assert_unchanged(&before);
}
END_TEST

START_TEST(a_claim_can_outlive_its_outcome)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_claim *claim = out.claim;
    out.claim = NULL;
    idem_outcome_clear(&out);
    assert_ok(idem_renew(one, claim, 0, &err));
    assert_ok(idem_complete(one, claim, idem_str("1"), &err));
    idem_claim_free(claim);
    assert_replayed(other, "1");
}
END_TEST

START_TEST(a_claim_can_be_freed_after_its_store_was_closed)
{
    idem_store *third = open_more("");
    idem_outcome live = BEGIN(third, .key = KEY, .lease_ms = LONG_MS);
    idem_outcome done = BEGIN(third, .key = idem_str("done"));
    assert_ok(idem_complete(third, done.claim, idem_str("1"), &err));
    idem_close(third);
    assert_outcome(one, IDEM_IN_PROGRESS);
    ck_assert(!idem_claim_lost(live.claim));
    idem_outcome_clear(&live);
    idem_outcome_clear(&done);
}
END_TEST

START_TEST(clearing_and_freeing_nothing_is_fine)
{
    idem_outcome out;
    idem_record record;
    memset(&out, 0, sizeof out);
    memset(&record, 0, sizeof record);
    idem_outcome_clear(NULL);
    idem_outcome_clear(&out);
    idem_record_clear(NULL);
    idem_record_clear(&record);
    idem_claim_free(NULL);
    idem_close(NULL);
    ck_assert_ptr_null(idem_claim_token(NULL));
    ck_assert(!idem_claim_lost(NULL));
    idem_claim_set_ttl(NULL, 1);
}
END_TEST

void conformance_claims(Suite *suite)
{
    ADD(suite, "complete", 0, ANY_TIME, complete_stores_the_response, complete_drops_the_checkpoint,
        complete_after_expiry_without_takeover_still_counts,
        complete_again_is_ok_and_keeps_the_first_response,
        a_claim_is_changed_by_the_store_that_made_it_alone,
        a_claim_of_a_closed_store_is_no_claim_of_the_next,
        complete_under_another_token_is_lost_while_in_progress,
        complete_under_another_token_is_lost_after_its_completion,
        complete_absent_is_not_found_and_stays_absent, complete_after_my_release_is_not_found);
    ADD(suite, "renew and checkpoint", 0, ANY_TIME,
        renew_starts_the_lease_anew_and_keeps_its_length, renew_with_a_lease_sets_its_length,
        renew_after_expiry_without_takeover_is_ok, renew_keeps_the_checkpoint,
        checkpoint_starts_the_lease_anew, checkpoint_after_expiry_without_takeover_is_ok,
        checkpoint_replaces_the_last_one_and_an_empty_text_removes_it,
        renew_and_checkpoint_under_another_token_are_lost,
        renew_and_checkpoint_after_my_completion_are_lost,
        renew_and_checkpoint_of_an_absent_key_are_not_found);
    ADD(suite, "release", 0, ANY_TIME, release_gives_the_key_back_and_the_next_begin_is_attempt_1,
        release_after_expiry_without_takeover_gives_the_key_back, release_of_an_absent_key_is_ok,
        release_after_my_completion_changes_nothing, release_under_another_token_changes_nothing,
        release_does_not_touch_the_claim_of_a_later_caller);
    ADD(suite, "claim objects", 0, ANY_TIME, clearing_an_outcome_leaves_the_record_as_it_is,
        a_claim_can_outlive_its_outcome, a_claim_can_be_freed_after_its_store_was_closed,
        clearing_and_freeing_nothing_is_fine);
}
