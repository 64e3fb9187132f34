/* SPDX-License-Identifier: MIT */
/* Records by themselves: get, forget, resume, how long they live, and whose they are. */
#include "conformance.h"

/* ---------------------------------------------------------------------------------------- get */

START_TEST(get_shows_the_record_and_changes_nothing)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .ttl_ms = 7200000);
    idem_record record = record_now();
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_gt(idem_record_lease_left_ms(&record), LONG_MS / 2);
    ck_assert_uint_gt(idem_record_retention_left_ms(&record), 7000000);
    assert_unchanged(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(get_tells_the_age_by_the_stores_clock)
{
    idem_outcome out = claim_key(one, LONG_MS);
    advance(SHORT_MS);
    idem_record record = record_now();
    ck_assert_uint_ge(record.age_ms, SHORT_MS);
    ck_assert_uint_le(record.age_ms, time_is_ours() ? SHORT_MS : LONG_MS / 2);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(get_of_a_completed_key_shows_the_response_and_no_lease)
{
    complete_key(one, "[1]");
    idem_record record = record_now();
    ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
    assert_text(record.response, "[1]");
    ck_assert_uint_eq(idem_record_lease_left_ms(&record), 0);
    idem_record_clear(&record);
}
END_TEST

START_TEST(get_absent_is_not_found_and_touches_no_output)
{
    idem_record record;
    idem_record untouched;
    memset(&record, 0xa5, sizeof record);
    memset(&untouched, 0xa5, sizeof untouched);
    assert_error(IDEM_ERR_NOT_FOUND, idem_get(one, KEY, &record, &err));
    ck_assert_mem_eq(&record, &untouched, sizeof record);
}
END_TEST

/* ------------------------------------------------------------------------------------- forget */

START_TEST(forget_removes_a_live_claim_and_its_owner_is_told)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_forget(other, KEY, &err));
    assert_absent();
    assert_error(IDEM_ERR_NOT_FOUND, idem_renew(one, out.claim, 0, &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(forget_removes_a_completed_key_and_the_next_begin_is_new)
{
    complete_key(one, "1");
    assert_ok(idem_forget(other, KEY, &err));
    assert_absent();
    idem_outcome out = claim_key(one, LONG_MS);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(forget_of_an_absent_key_is_ok)
{
    assert_ok(idem_forget(one, KEY, &err));
    assert_ok(idem_forget(one, KEY, &err));
    assert_absent();
}
END_TEST

START_TEST(forget_and_a_new_claim_make_the_old_claim_lost)
{
    idem_outcome old = claim_key(one, LONG_MS);
    assert_ok(idem_forget(one, KEY, &err));
    idem_outcome later = claim_key(other, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_complete(one, old.claim, idem_str("1"), &err));
    assert_ok(idem_release(one, old.claim, &err));
    assert_unchanged(&before);
    idem_outcome_clear(&later);
    idem_outcome_clear(&old);
}
END_TEST

/* ------------------------------------------------------------------------------------- resume */

static idem_claim *resume(idem_store *store, const idem_claim *of)
{
    idem_claim *claim = NULL;
    assert_ok(idem_resume(store, KEY, idem_claim_token(of), &claim, &err));
    ck_assert_ptr_nonnull(claim);
    ck_assert_mem_eq(idem_claim_token(claim), idem_claim_token(of), IDEM_TOKEN_SIZE);
    return claim;
}

START_TEST(resume_in_progress_gives_a_claim_and_changes_nothing)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    idem_claim *claim = resume(other, out.claim);
    assert_unchanged(&before);
    assert_ok(idem_renew(other, claim, 0, &err));
    assert_ok(idem_checkpoint(other, claim, idem_str("1"), &err));
    assert_ok(idem_complete(other, claim, idem_str("2"), &err));
    assert_replayed(one, "2");
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_expired_without_takeover_still_counts)
{
    idem_outcome out = expired_claim();
    idem_claim *claim = resume(other, out.claim);
    assert_ok(idem_complete(other, claim, idem_str("2"), &err));
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_and_release_gives_the_key_back)
{
    idem_outcome out = claim_key(one, LONG_MS);
    idem_claim *claim = resume(other, out.claim);
    assert_ok(idem_release(other, claim, &err));
    assert_absent();
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_of_a_key_completed_by_me_then_complete_keeps_the_first_response)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, idem_str("\"first\""), &err));
    idem_record before = record_now();
    idem_claim *claim = resume(other, out.claim);
    assert_ok(idem_complete(other, claim, idem_str("\"second\""), &err));
    assert_unchanged(&before);
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_of_a_key_completed_by_me_then_renew_or_checkpoint_is_lost)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_record before = record_now();
    idem_claim *claim = resume(other, out.claim);
    assert_error(IDEM_ERR_LOST, idem_renew(other, claim, 0, &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(other, claim, idem_str("1"), &err));
    assert_unchanged(&before);
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_of_a_key_completed_by_me_then_release_changes_nothing)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_record before = record_now();
    idem_claim *claim = resume(other, out.claim);
    assert_ok(idem_release(other, claim, &err));
    assert_unchanged(&before);
    idem_claim_free(claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_under_another_token_is_lost_and_touches_no_output)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1};
    idem_claim *const untouched = (idem_claim *)&err;
    idem_claim *claim = untouched;
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_resume(other, KEY, token, &claim, &err));
    assert_unchanged(&before);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    before = record_now();
    assert_error(IDEM_ERR_LOST, idem_resume(other, KEY, token, &claim, &err));
    assert_unchanged(&before);
    ck_assert_ptr_eq(claim, untouched);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(resume_absent_is_not_found)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1};
    idem_claim *claim = NULL;
    assert_error(IDEM_ERR_NOT_FOUND, idem_resume(other, KEY, token, &claim, &err));
    ck_assert_ptr_null(claim);
    assert_absent();
}
END_TEST

/* ---------------------------------------------------------------------------------- retention */

START_TEST(a_record_past_its_retention_is_absent_for_every_call)
{
    idem_claim *claim = NULL;
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = SHORT_MS / 3, .ttl_ms = SHORT_MS);
    advance(SHORT_MS / 3 + SHORT_MS);
    assert_absent();
    assert_error(IDEM_ERR_NOT_FOUND,
                 idem_resume(one, KEY, idem_claim_token(out.claim), &claim, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_renew(one, out.claim, 0, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_checkpoint(one, out.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, out.claim, idem_str("1"), &err));
    assert_ok(idem_release(one, out.claim, &err));
    assert_absent();
    idem_outcome next = claim_key(other, LONG_MS);
    idem_outcome_clear(&next);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(an_unfinished_record_lives_for_its_retention_behind_its_lease)
{
    uint64_t ttl_ms = span_ms();
    idem_outcome mine = BEGIN(one, .key = KEY, .lease_ms = SHORT_MS, .ttl_ms = ttl_ms);
    idem_record record = record_now();
    ck_assert_uint_le(idem_record_retention_left_ms(&record), SHORT_MS + ttl_ms);
    ck_assert_uint_gt(idem_record_retention_left_ms(&record), ttl_ms);
    idem_record_clear(&record);
    advance(time_is_ours() ? SHORT_MS + ttl_ms - 1 : SHORT_MS);
    assert_outcome_with(other, IDEM_NO_TAKEOVER, IDEM_IN_DOUBT);
    advance(time_is_ours() ? 1 : ttl_ms);
    assert_absent();
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(an_unfinished_record_lives_for_its_lease_at_least)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .ttl_ms = span_ms());
    advance(span_ms());
    assert_outcome(other, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    assert_replayed(other, "1");
    advance(span_ms());
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

/* True if a step took so long that the record may have expired: a real clock goes on while the
   machine is busy. The test then begins again with a longer retention. */
static bool was_late(uint64_t since_ms, uint64_t limit_ms)
{
    return !time_is_ours() && now_ms() - since_ms >= limit_ms;
}

START_TEST(retention_counts_from_the_last_change)
{
    bool late = true;
    for (uint64_t ttl_ms = span_ms(); late; ttl_ms *= 2) {
        uint64_t begun_ms = now_ms();
        idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = 1, .ttl_ms = ttl_ms);
        advance(ttl_ms / 2);
        uint64_t renewed_ms = now_ms();
        int rc = idem_renew(one, out.claim, 1, &err);
        late = was_late(begun_ms, ttl_ms);
        advance(ttl_ms / 2);
        uint64_t completed_ms = now_ms();
        rc = rc ? rc : idem_complete(one, out.claim, idem_str("1"), &err);
        late = late || was_late(renewed_ms, ttl_ms);
        advance(ttl_ms / 2);
        late = late || was_late(completed_ms, ttl_ms / 10 * 9);
        if (late) {
            assert_ok(idem_forget(one, KEY, &err));
        } else {
            assert_ok(rc);
            assert_replayed(other, "1");
            advance(ttl_ms / 2);
            assert_absent();
        }
        idem_outcome_clear(&out);
    }
}
END_TEST

START_TEST(reading_does_not_prolong_retention)
{
    bool late = true;
    for (uint64_t ttl_ms = span_ms(); late; ttl_ms *= 2) {
        idem_outcome out = BEGIN(one, .key = KEY, .ttl_ms = ttl_ms);
        uint64_t completed_ms = now_ms();
        assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
        late = was_late(completed_ms, ttl_ms / 3);
        advance(ttl_ms / 2);
        late = late || was_late(completed_ms, ttl_ms / 10 * 9);
        if (late) {
            assert_ok(idem_forget(one, KEY, &err));
        } else {
            assert_replayed(other, "1");
            idem_record record = record_now();
            idem_record_clear(&record);
            advance(ttl_ms / 2);
            assert_absent();
        }
        idem_outcome_clear(&out);
    }
}
END_TEST

START_TEST(set_ttl_counts_from_the_next_change_on)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .ttl_ms = 7200000);
    idem_claim_set_ttl(out.claim, 3600000);
    idem_record record = record_now();
    ck_assert_uint_eq(record.ttl_ms, 7200000);
    idem_record_clear(&record);
    assert_ok(idem_renew(one, out.claim, 0, &err));
    record = record_now();
    ck_assert_uint_eq(record.ttl_ms, 3600000);
    idem_record_clear(&record);
    idem_claim_set_ttl(out.claim, SHORT_MS);
    idem_claim_set_ttl(out.claim, 0);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    advance(SHORT_MS);
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

/* ------------------------------------------------------------------------- the store's defaults */

START_TEST(the_urls_lease_and_ttl_are_defaults_and_the_request_wins)
{
    idem_store *store = open_more("lease=5s&ttl=90m");
    idem_outcome out = BEGIN(store, .key = KEY);
    idem_record record = record_now();
    ck_assert_uint_eq(record.lease_ms, 5000);
    ck_assert_uint_eq(record.ttl_ms, 5400000);
    idem_record_clear(&record);
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    out = BEGIN(store, .key = KEY, .lease_ms = 7000, .ttl_ms = 8000);
    record = record_now();
    ck_assert_uint_eq(record.lease_ms, 7000);
    ck_assert_uint_eq(record.ttl_ms, 8000);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(without_parameters_lease_is_60_s_and_ttl_24_h)
{
    idem_outcome out = BEGIN(one, .key = KEY);
    idem_record record = record_now();
    ck_assert_uint_eq(record.lease_ms, 60000);
    ck_assert_uint_eq(record.ttl_ms, 86400000);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(two_prefixes_keep_two_users_apart)
{
    idem_record record;
    idem_store *alpha = open_more("prefix=alpha:");
    idem_store *beta = open_more("prefix=beta:");
    idem_outcome out = claim_key(alpha, LONG_MS);
    assert_ok(idem_complete(alpha, out.claim, idem_str("\"alpha\""), &err));
    idem_outcome_clear(&out);
    complete_key(beta, "\"beta\"");
    assert_replayed(alpha, "\"alpha\"");
    assert_ok(idem_forget(beta, KEY, &err));
    assert_replayed(alpha, "\"alpha\"");
    assert_ok(idem_get(alpha, KEY, &record, &err));
    assert_bytes(record.key, KEY);
    idem_record_clear(&record);
    assert_ok(idem_get(one, idem_str("alpha:charge-42"), &record, &err));
    assert_text(record.response, "\"alpha\"");
    idem_record_clear(&record);
    assert_absent();
    idem_close(alpha);
    idem_close(beta);
}
END_TEST

START_TEST(a_closed_store_finds_its_records_again)
{
    complete_key(one, "[\"kept\"]");
    idem_outcome out = BEGIN(one, .key = idem_str("unfinished"), .lease_ms = LONG_MS);
    idem_record before = record_now();
    reopen();
    assert_unchanged(&before);
    assert_replayed(one, "[\"kept\"]");
    idem_outcome again = BEGIN(one, .key = idem_str("unfinished"));
    ck_assert_int_eq(again.kind, IDEM_IN_PROGRESS);
    idem_claim *held = NULL; /* the claim of the store that was closed is of no use */
    assert_ok(idem_resume(other, idem_str("unfinished"), idem_claim_token(out.claim), &held, &err));
    assert_ok(idem_complete(other, held, idem_str("1"), &err));
    idem_claim_free(held);
    idem_outcome_clear(&again);
    idem_outcome_clear(&out);
}
END_TEST

void conformance_records(Suite *suite)
{
    ADD(suite, "get", 0, ANY_TIME, get_shows_the_record_and_changes_nothing,
        get_tells_the_age_by_the_stores_clock,
        get_of_a_completed_key_shows_the_response_and_no_lease,
        get_absent_is_not_found_and_touches_no_output);
    ADD(suite, "forget", 0, ANY_TIME, forget_removes_a_live_claim_and_its_owner_is_told,
        forget_removes_a_completed_key_and_the_next_begin_is_new, forget_of_an_absent_key_is_ok,
        forget_and_a_new_claim_make_the_old_claim_lost);
    ADD(suite, "resume", 0, ANY_TIME, resume_in_progress_gives_a_claim_and_changes_nothing,
        resume_expired_without_takeover_still_counts, resume_and_release_gives_the_key_back,
        resume_of_a_key_completed_by_me_then_complete_keeps_the_first_response,
        resume_of_a_key_completed_by_me_then_renew_or_checkpoint_is_lost,
        resume_of_a_key_completed_by_me_then_release_changes_nothing,
        resume_under_another_token_is_lost_and_touches_no_output, resume_absent_is_not_found);
    ADD(suite, "retention", 0, ANY_TIME, a_record_past_its_retention_is_absent_for_every_call,
        an_unfinished_record_lives_for_its_retention_behind_its_lease,
        an_unfinished_record_lives_for_its_lease_at_least, retention_counts_from_the_last_change,
        reading_does_not_prolong_retention, set_ttl_counts_from_the_next_change_on);
    ADD(suite, "defaults", 0, ANY_TIME, the_urls_lease_and_ttl_are_defaults_and_the_request_wins,
        without_parameters_lease_is_60_s_and_ttl_24_h, two_prefixes_keep_two_users_apart);
    ADD(suite, "durability", IDEM_TRAIT_DURABLE, ANY_TIME, a_closed_store_finds_its_records_again);
}
