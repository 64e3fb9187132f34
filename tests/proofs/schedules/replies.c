/* SPDX-License-Identifier: MIT */
/*
 * Replies that are lost, and clients that go away: what was done stays done, and whoever did it is
 * never locked out by it. In each comment the steps stand in their order in time.
 */
#include "schedules.h"

static void lose_reply(idem_op_kind kind)
{
    FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(kind));
}

/* Loses every reply to this kind of operation, so that a call ends with IDEM_ERR_UNCERTAIN. */
static void lose_all_replies(idem_op_kind kind)
{
    FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(kind), .permanent = true);
}

/* ------------------------------------------------ a claim locked out by its own lost reply */

/* A's insert is carried out; its reply is lost; A sends it again and finds its own record. */
START_TEST(a_claim_is_not_locked_out_by_the_lost_reply_to_its_own_insert)
{
    lose_reply(IDEM_OP_INSERT);
    idem_outcome out = claim_key(one, LONG_MS);
    assert_outcome(other, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    assert_replayed(other, "1");
    idem_outcome_clear(&out);
}
END_TEST

/* A's claim is left behind; B's takeover is carried out; its reply is lost; B sends it again. */
START_TEST(a_claim_is_not_locked_out_by_the_lost_reply_to_its_own_takeover)
{
    idem_outcome old = claim_key(one, SHORT_MS);
    assert_ok(idem_checkpoint(one, old.claim, idem_str("{\"done\":1}"), &err));
    advance(SHORT_MS);
    lose_reply(IDEM_OP_REPLACE);
    idem_outcome out = take_over(2);
    assert_text(out.checkpoint, "{\"done\":1}");
    assert_ok(idem_complete(other, out.claim, idem_str("2"), &err));
    assert_error(IDEM_ERR_LOST, idem_complete(one, old.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    idem_outcome_clear(&old);
}
END_TEST

/* A's insert is carried out; its reply is lost, and A gives up; A begins again with its token, by
   another connection. */
START_TEST(a_caller_that_gave_up_begins_again_with_its_token_and_is_the_owner)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {7};
    const idem_request *request =
        IDEM_REQUEST(.key = KEY, .lease_ms = LONG_MS, .token = token, .timeout_ms = SHORT_MS);
    idem_outcome out;
    lose_all_replies(IDEM_OP_INSERT);
    assert_error(IDEM_ERR_UNCERTAIN, idem_begin(one, request, &out, &err));
    faulty_clear();
    assert_outcome(one, IDEM_IN_PROGRESS);
    out = begin(other, request);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    assert_ok(idem_complete(other, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

static void another_takes_over(void)
{
    advance(SHORT_MS);
    idem_outcome out = take_over(2);
    idem_outcome_clear(&out);
}

/* A's insert is carried out; its reply is lost; A's lease runs out and B takes over; A sends its insert
   again: it has lost the claim that it never knew it had. */
START_TEST(a_claim_that_was_taken_over_before_its_owner_heard_of_it_is_not_new_to_him)
{
    meanwhile takeover = {.act = another_takes_over};
    behind_a_lost(IDEM_OP_INSERT, &takeover);
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = SHORT_MS);
    ck_assert_uint_eq(takeover.times, 1);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
}
END_TEST

/* A's change is carried out; its reply is lost; A sends it again and finds its own new record. */
START_TEST(an_owner_is_not_locked_out_by_the_lost_reply_to_its_own_change)
{
    idem_outcome out = claim_key(one, LONG_MS);
    lose_reply(IDEM_OP_REPLACE);
    assert_ok(idem_renew(one, out.claim, 0, &err));
    lose_reply(IDEM_OP_REPLACE);
    assert_ok(idem_checkpoint(one, out.claim, idem_str("[1]"), &err));
    lose_reply(IDEM_OP_REPLACE);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    ck_assert(!idem_claim_lost(out.claim));
    assert_replayed(other, "1");
    idem_outcome_clear(&out);
}
END_TEST

/* A's release is carried out; its reply is lost; B claims the key; A sends its release again. */
static void another_claims(void)
{
    idem_outcome out = BEGIN(other, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
}

START_TEST(a_release_that_is_sent_again_does_not_end_the_next_claim)
{
    meanwhile claim = {.act = another_claims};
    idem_outcome out = claim_key(one, LONG_MS);
    behind_a_lost(IDEM_OP_REMOVE, &claim);
    assert_ok(idem_release(one, out.claim, &err));
    ck_assert_uint_eq(claim.times, 1);
    assert_outcome(one, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
}
END_TEST

/* ---------------------------------------- a client that disconnects and so undoes a success */

/* A's response is stored; its reply is lost for good; A believes that it failed, and cleans up by
   releasing its claim. */
START_TEST(a_client_that_gave_up_and_releases_does_not_undo_its_success)
{
    idem_outcome out = claim_key(one, LONG_MS);
    lose_all_replies(IDEM_OP_REPLACE);
    assert_error(IDEM_ERR_UNCERTAIN, idem_complete(one, out.claim, idem_str("1"), &err));
    faulty_clear();
    assert_ok(idem_release(one, out.claim, &err));
    assert_replayed(other, "1");
    assert_ok(idem_complete(one, out.claim, idem_str("2"), &err));
    assert_replayed(other, "1");
    idem_outcome_clear(&out);
}
END_TEST

/* A sends its response, which is long on its way, and gives up; A's release is sent: the response
   arrives first. */
START_TEST(a_response_that_arrives_before_the_release_stays)
{
    idem_outcome out = claim_key(one, LONG_MS);
    FAULTY(.kind = FAULTY_DELAYED, .places = FAULTY_ON(IDEM_OP_REPLACE), .permanent = true);
    assert_error(IDEM_ERR_UNCERTAIN, idem_complete(one, out.claim, idem_str("1"), &err));
    assert_ok(idem_release(one, out.claim, &err));
    assert_replayed(other, "1");
    idem_outcome_clear(&out);
}
END_TEST

/* A sends its response, which is long on its way, and gives up; A's release arrives; B claims and
   completes; A's response arrives. */
START_TEST(a_response_that_arrives_after_the_release_changes_nothing)
{
    idem_record record;
    idem_outcome out = claim_key(one, LONG_MS);
    size_t late = FAULTY(.kind = FAULTY_DELAYED, .places = FAULTY_ON(IDEM_OP_REPLACE),
                         .permanent = true, .delay = 2);
    assert_error(IDEM_ERR_UNCERTAIN, idem_complete(one, out.claim, idem_str("\"A\""), &err));
    ck_assert_uint_eq(faulty_hits(late), 1);
    assert_ok(idem_release(one, out.claim, &err));
    complete_key(other, "\"B\"");
    for (int i = 0; i < 3; i++) { /* what else A sends: the late one goes in front of it */
        assert_ok(idem_get(one, KEY, &record, &err));
        idem_record_clear(&record);
        assert_ok(idem_forget(one, idem_str("another key"), &err));
    }
    assert_replayed(one, "\"B\"");
    idem_outcome_clear(&out);
}
END_TEST

void schedules_replies(Suite *suite)
{
    ADD(suite, "lost replies", 0, ANY_TIME,
        a_claim_is_not_locked_out_by_the_lost_reply_to_its_own_insert,
        a_claim_is_not_locked_out_by_the_lost_reply_to_its_own_takeover,
        a_caller_that_gave_up_begins_again_with_its_token_and_is_the_owner,
        a_claim_that_was_taken_over_before_its_owner_heard_of_it_is_not_new_to_him,
        an_owner_is_not_locked_out_by_the_lost_reply_to_its_own_change,
        a_release_that_is_sent_again_does_not_end_the_next_claim);
    ADD(suite, "undone successes", 0, ANY_TIME,
        a_client_that_gave_up_and_releases_does_not_undo_its_success,
        a_response_that_arrives_before_the_release_stays,
        a_response_that_arrives_after_the_release_changes_nothing);
}
