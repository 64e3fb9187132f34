/* SPDX-License-Identifier: MIT */
/* The numbered guarantees that calls made one after another can show. Number 1 and 9 are in
   threads.c, 7 in waiting.c, 10 in fork.c and process.c; 8 needs a record that only a backend's
   own tests can spoil. */
#include "conformance.h"

/* -------------------------------------------------------------------------------------------- 2 */

START_TEST(guarantee_2_every_begin_replays_until_retention_ends_and_then_is_new)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {9};
    const char *response = "{ \"n\": 1.0, \"e\": [] }";
    uint64_t ttl_ms = span_ms();
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = 1, .ttl_ms = ttl_ms);
    assert_ok(idem_complete(one, out.claim, idem_str(response), &err));
    assert_replayed(one, response);
    assert_replayed(other, response);
    advance(ttl_ms / 2);
    assert_replayed(one, response);
    idem_outcome stranger = BEGIN(other, .key = KEY, .token = token, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(stranger.kind, IDEM_COMPLETED);
    idem_outcome_clear(&stranger);
    advance(ttl_ms / 2);
    assert_outcome(other, IDEM_NEW);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(guarantee_2_no_other_callers_complete_succeeds)
{
    idem_outcome first = expired_claim();
    idem_outcome second = BEGIN(other, .key = KEY, .lease_ms = 1);
    ck_assert_uint_eq(second.attempt, 2);
    advance(SHORT_MS);
    idem_outcome third = take_over(3);
    assert_ok(idem_complete(other, third.claim, idem_str("3"), &err));
    assert_error(IDEM_ERR_LOST, idem_complete(one, first.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_LOST, idem_complete(other, second.claim, idem_str("2"), &err));
    assert_replayed(other, "3");
    idem_outcome_clear(&third);
    idem_outcome_clear(&second);
    idem_outcome_clear(&first);
}
END_TEST

/* -------------------------------------------------------------------------------------------- 3 */

START_TEST(guarantee_3_old_owner_cannot_complete_renew_checkpoint_or_release)
{
    idem_outcome old = expired_claim();
    idem_outcome owner = take_over(2);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_complete(one, old.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_LOST, idem_renew(one, old.claim, LONG_MS, &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(one, old.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_LOST, idem_checkpoint(one, old.claim, idem_str(""), &err));
    assert_ok(idem_release(one, old.claim, &err));
    assert_unchanged(&before);
    ck_assert(idem_claim_lost(old.claim));
    ck_assert(!idem_claim_lost(owner.claim));
    assert_ok(idem_complete(other, owner.claim, idem_str("2"), &err));
    assert_replayed(one, "2");
    idem_outcome_clear(&owner);
    idem_outcome_clear(&old);
}
END_TEST

START_TEST(guarantee_3_old_owner_stays_out_after_the_new_lease_expired_too)
{
    idem_outcome old = expired_claim();
    idem_outcome owner = BEGIN(other, .key = KEY, .lease_ms = 1);
    ck_assert_uint_eq(owner.attempt, 2);
    advance(SHORT_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_complete(one, old.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_LOST, idem_renew(one, old.claim, LONG_MS, &err));
    assert_unchanged(&before);
    assert_ok(idem_complete(other, owner.claim, idem_str("2"), &err));
    idem_outcome_clear(&owner);
    idem_outcome_clear(&old);
}
END_TEST

START_TEST(guarantee_3_an_old_owner_that_begins_again_gets_a_claim_of_its_own)
{
    idem_outcome old = expired_claim();
    idem_outcome owner = BEGIN(other, .key = KEY, .lease_ms = 1);
    advance(SHORT_MS);
    idem_outcome again =
        BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .token = idem_claim_token(old.claim));
    ck_assert_int_eq(again.kind, IDEM_NEW);
    ck_assert_uint_eq(again.attempt, 3);
    assert_error(IDEM_ERR_LOST, idem_complete(other, owner.claim, idem_str("2"), &err));
    assert_ok(idem_complete(one, again.claim, idem_str("3"), &err));
    assert_replayed(other, "3");
    idem_outcome_clear(&again);
    idem_outcome_clear(&owner);
    idem_outcome_clear(&old);
}
END_TEST

/* A renewal stamps a new version: whoever read the record before it can't take the claim. */
START_TEST(guarantee_1_a_claim_renewed_in_time_is_never_taken)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    for (int i = 0; i < 5; i++) {
        advance(time_is_ours() ? LONG_MS - 1 : 5);
        assert_outcome(other, IDEM_IN_PROGRESS);
        assert_ok(idem_renew(one, mine.claim, 0, &err));
    }
    assert_ok(idem_complete(one, mine.claim, idem_str("1"), &err));
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(guarantee_1_every_write_stamps_another_version)
{
    enum { WRITES = 6 };
    uint64_t versions[WRITES];
    idem_outcome out = claim_key(one, 1);
    for (size_t i = 0; i < WRITES; i++) {
        if (i == 1 || i == 2)
            assert_ok(idem_renew(one, out.claim, 1, &err));
        else if (i == 3 || i == 4)
            assert_ok(idem_checkpoint(one, out.claim, idem_str("1"), &err));
        else if (i == 5)
            assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
        idem_record record = record_now();
        versions[i] = record.version;
        idem_record_clear(&record);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(versions[k] != versions[i], "write %zu has the version of %zu", i, k);
    }
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------------------------- 4 */

START_TEST(guarantee_4_each_takeover_is_told_its_attempt_and_the_latest_checkpoint)
{
    static const char *const left[] = {"\"a\"", "\"b\"", "\"c\""};
    idem_store *owner = one;
    idem_outcome out = claim_key(owner, SHORT_MS);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ok(idem_checkpoint(owner, out.claim, idem_str(left[i]), &err));
        idem_outcome_clear(&out);
        advance(SHORT_MS);
        owner = owner == one ? other : one;
        out = BEGIN(owner, .key = KEY, .lease_ms = SHORT_MS);
        ck_assert_int_eq(out.kind, IDEM_NEW);
        ck_assert_uint_eq(out.attempt, i + 2);
        assert_text(out.checkpoint, left[i]);
    }
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(guarantee_4_a_takeover_without_a_checkpoint_is_still_told)
{
    idem_outcome old = expired_claim();
    idem_outcome owner = take_over(2);
    ck_assert_uint_eq(owner.checkpoint.len, 0);
    idem_outcome_clear(&owner);
    idem_outcome_clear(&old);
}
END_TEST

/* -------------------------------------------------------------------------------------------- 5 */

START_TEST(guarantee_5_every_call_can_be_repeated_under_the_same_token)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {5, 5, 5};
    idem_outcome again[2];
    for (int i = 0; i < 2; i++) {
        again[i] = BEGIN(one, .key = KEY, .token = token, .lease_ms = LONG_MS);
        ck_assert_int_eq(again[i].kind, IDEM_NEW);
        ck_assert_uint_eq(again[i].attempt, 1);
    }
    for (int i = 0; i < 4; i++)
        assert_ok(idem_renew(one, again[i % 2].claim, 0, &err));
    for (int i = 0; i < 4; i++)
        assert_ok(idem_checkpoint(one, again[i % 2].claim, idem_str("[0]"), &err));
    for (int i = 0; i < 4; i++)
        assert_ok(idem_complete(one, again[i % 2].claim, idem_str("[1]"), &err));
    for (int i = 0; i < 4; i++)
        assert_ok(idem_release(one, again[i % 2].claim, &err));
    assert_replayed(other, "[1]");
    for (int i = 0; i < 2; i++)
        assert_ok(idem_forget(one, KEY, &err));
    assert_absent();
    idem_outcome_clear(&again[0]);
    idem_outcome_clear(&again[1]);
}
END_TEST

START_TEST(guarantee_5_a_repeated_release_is_ok)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {5, 5, 5};
    idem_outcome out = BEGIN(one, .key = KEY, .token = token);
    idem_outcome again = BEGIN(other, .key = KEY, .token = token);
    assert_ok(idem_release(one, out.claim, &err));
    assert_ok(idem_release(other, again.claim, &err));
    assert_absent();
    idem_outcome_clear(&again);
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------------------------- 6 */

START_TEST(guarantee_6_a_store_out_of_reach_is_an_error_and_opens_no_handle)
{
    idem_store *const untouched = one;
    idem_store *store = untouched;
    uint64_t start = now_ms();
    assert_error(IDEM_ERR_UNAVAILABLE, open_out_of_reach(&store));
    ck_assert_ptr_eq(store, untouched);
    ck_assert_uint_lt(now_ms() - start, 8000);
}
END_TEST

START_TEST(guarantee_6_an_unknown_scheme_or_option_is_an_error_that_lists_the_known)
{
    idem_store *store = NULL;
    assert_error(IDEM_ERR_UNKNOWN_BACKEND, idem_open("nosuch://here", &store, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "nosuch"));
    ck_assert_ptr_nonnull(strstr(err.message, "memory"));
    assert_error(IDEM_ERR_ARGUMENT, idem_open("memory://?leese=5s", &store, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "leese"));
    ck_assert_ptr_nonnull(strstr(err.message, "max_response"));
    assert_error(IDEM_ERR_ARGUMENT, idem_open("memory://?lease=soon", &store, &err));
    ck_assert_ptr_null(store);
}
END_TEST

void conformance_guarantees(Suite *suite)
{
    ADD(suite, "guarantee 1", 0, ANY_TIME, guarantee_1_a_claim_renewed_in_time_is_never_taken,
        guarantee_1_every_write_stamps_another_version);
    ADD(suite, "guarantee 2", 0, ANY_TIME,
        guarantee_2_every_begin_replays_until_retention_ends_and_then_is_new,
        guarantee_2_no_other_callers_complete_succeeds);
    ADD(suite, "guarantee 3", 0, ANY_TIME,
        guarantee_3_old_owner_cannot_complete_renew_checkpoint_or_release,
        guarantee_3_old_owner_stays_out_after_the_new_lease_expired_too,
        guarantee_3_an_old_owner_that_begins_again_gets_a_claim_of_its_own);
    ADD(suite, "guarantee 4", 0, ANY_TIME,
        guarantee_4_each_takeover_is_told_its_attempt_and_the_latest_checkpoint,
        guarantee_4_a_takeover_without_a_checkpoint_is_still_told);
    ADD(suite, "guarantee 5", 0, ANY_TIME,
        guarantee_5_every_call_can_be_repeated_under_the_same_token,
        guarantee_5_a_repeated_release_is_ok);
    ADD(suite, "guarantee 6", CONFORMANCE_UNREACHABLE, ANY_TIME,
        guarantee_6_a_store_out_of_reach_is_an_error_and_opens_no_handle);
    ADD(suite, "guarantee 6", 0, ANY_TIME,
        guarantee_6_an_unknown_scheme_or_option_is_an_error_that_lists_the_known);
}
