/* SPDX-License-Identifier: MIT */
/*
 * Two callers, A through `one` and B through `other`, and the step at which the one comes in
 * between the other's read and his write. In each comment the steps stand in their order in time.
 */
#include "schedules.h"

static idem_outcome a; /* what A began */
static idem_outcome b;

static void a_renews(void)
{
    assert_ok(idem_renew(one, a.claim, LONG_MS, &err));
}

static void a_completes(void)
{
    assert_ok(idem_complete(one, a.claim, idem_str("\"A\""), &err));
}

static void a_releases(void)
{
    assert_ok(idem_release(one, a.claim, &err));
}

static void a_is_forgotten(void)
{
    assert_ok(idem_forget(one, KEY, &err));
}

static void b_takes_over(void)
{
    b = take_over(2);
}

static void b_takes_over_and_completes(void)
{
    b_takes_over();
    assert_ok(idem_complete(other, b.claim, idem_str("\"B\""), &err));
}

static void clear_both(void)
{
    idem_outcome_clear(&a);
    idem_outcome_clear(&b);
}

/* B begins, and `what` happens just before its write. */
static void b_begins(idem_op_kind write, meanwhile *what, idem_outcome_kind expected)
{
    in_front_of(write, what);
    b = BEGIN(other, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_uint_eq(what->times, 1);
    ck_assert_int_eq(b.kind, expected);
}

/* ------------------------------------------------------------ a live claim taken for an orphan */

/* A begins; its lease runs out; B reads the expired record; A renews; B takes over what it read. */
START_TEST(a_claim_that_was_renewed_after_it_was_read_is_not_taken_for_an_orphan)
{
    meanwhile renewal = {.act = a_renews};
    a = expired_claim();
    b_begins(IDEM_OP_REPLACE, &renewal, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(b.retry_after_ms, 0);
    a_completes();
    assert_replayed(other, "\"A\"");
    clear_both();
}
END_TEST

static void a_renews_and_its_reply_is_lost(void)
{
    size_t lost = FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(IDEM_OP_REPLACE));
    a_renews();
    ck_assert_uint_eq(faulty_hits(lost), 1);
}

/* A begins; its lease runs out; B reads; A renews, its reply is lost, and it renews again; B takes
   over what it read. With a version that a repeat used again, or that began anew, B might succeed.
   */
START_TEST(a_claim_whose_renewal_was_sent_twice_is_not_taken_for_an_orphan)
{
    meanwhile renewal = {.act = a_renews_and_its_reply_is_lost};
    a = expired_claim();
    b_begins(IDEM_OP_REPLACE, &renewal, IDEM_IN_PROGRESS);
    a_completes();
    clear_both();
}
END_TEST

/* A begins; its lease runs out; B reads; A, whose first answer was lost, begins again with its
   token and renews; B takes over what it read. */
static uint8_t a_token[IDEM_TOKEN_SIZE];

static void a_begins_again_and_renews(void)
{
    idem_outcome again = BEGIN(one, .key = KEY, .token = a_token);
    ck_assert_int_eq(again.kind, IDEM_NEW);
    ck_assert_uint_eq(again.attempt, 1);
    assert_ok(idem_renew(one, again.claim, LONG_MS, &err));
    idem_outcome_clear(&again);
}

START_TEST(a_claim_that_was_begun_again_and_renewed_is_not_taken_for_an_orphan)
{
    meanwhile comeback = {.act = a_begins_again_and_renews};
    a = expired_claim();
    memcpy(a_token, idem_claim_token(a.claim), sizeof a_token);
    b_begins(IDEM_OP_REPLACE, &comeback, IDEM_IN_PROGRESS);
    a_completes();
    clear_both();
}
END_TEST

/* ------------------------------------------ a late owner overwriting the result of the new one */

/* A begins; its lease runs out; A sends its response; B takes over and completes; A's response
   arrives. */
START_TEST(a_late_owner_does_not_overwrite_the_result_of_the_new_one)
{
    meanwhile takeover = {.act = b_takes_over_and_completes};
    a = expired_claim();
    in_front_of(IDEM_OP_REPLACE, &takeover);
    assert_error(IDEM_ERR_LOST, idem_complete(one, a.claim, idem_str("\"A\""), &err));
    ck_assert_uint_eq(takeover.times, 1);
    assert_replayed(one, "\"B\"");
    clear_both();
}
END_TEST

/* The same while B is still at work: its claim is not ended by A's response, renewal, checkpoint or
   release. */
START_TEST(a_late_owner_does_not_touch_the_claim_of_the_new_one)
{
    static const idem_op_kind writes[] = {IDEM_OP_REPLACE, IDEM_OP_REPLACE, IDEM_OP_REPLACE,
                                          IDEM_OP_REMOVE};
    meanwhile takeover = {.act = b_takes_over};
    int expected = _i == 3 ? IDEM_OK : IDEM_ERR_LOST; /* release: A holds nothing now */
    a = expired_claim();
    in_front_of(writes[_i], &takeover);
    int rc = _i == 0   ? idem_complete(one, a.claim, idem_str("\"A\""), &err)
             : _i == 1 ? idem_renew(one, a.claim, LONG_MS, &err)
             : _i == 2 ? idem_checkpoint(one, a.claim, idem_str("\"A\""), &err)
                       : idem_release(one, a.claim, &err);
    ck_assert_int_eq(rc, expected);
    ck_assert_uint_eq(takeover.times, 1);
    idem_record now = record_now();
    ck_assert_uint_eq(now.attempt, 2);
    ck_assert_int_eq(now.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(now.checkpoint.len, 0);
    idem_record_clear(&now);
    assert_ok(idem_complete(other, b.claim, idem_str("\"B\""), &err));
    assert_replayed(one, "\"B\"");
    clear_both();
}
END_TEST

/* A begins and renews, and the renewal is long on its way; A renews again; the lease runs out; B
   takes over; the first renewal arrives. */
START_TEST(a_renewal_that_was_long_on_its_way_does_not_take_the_claim_back)
{
    idem_record record;
    a = claim_key(one, SHORT_MS);
    FAULTY(.kind = FAULTY_DELAYED, .places = FAULTY_ON(IDEM_OP_REPLACE), .delay = 2);
    assert_ok(idem_renew(one, a.claim, SHORT_MS, &err));
    advance(SHORT_MS);
    b_takes_over();
    idem_record before = record_now();
    for (int i = 0; i < 4; i++) { /* what else A sends: the late one goes in front of it */
        assert_ok(idem_get(one, KEY, &record, &err));
        idem_record_clear(&record);
        assert_ok(idem_forget(one, idem_str("another key"), &err));
    }
    assert_unchanged(&before);
    assert_ok(idem_complete(other, b.claim, idem_str("\"B\""), &err));
    clear_both();
}
END_TEST

/* ---------------------------------------- an expired claim run again while its owner completes */

/* A begins; its lease runs out; B reads the expired record; A completes; B takes over what it read.
   */
START_TEST(an_expired_claim_is_not_run_again_while_its_owner_completes)
{
    meanwhile completion = {.act = a_completes};
    a = expired_claim();
    b_begins(IDEM_OP_REPLACE, &completion, IDEM_COMPLETED);
    assert_text(b.response, "\"A\"");
    clear_both();
}
END_TEST

/* ---------------------------------------- New for a key that was gone between refusal and look */

/* A begins; its lease runs out; B reads the expired record; A's record goes; B takes over what it
   read, finds nothing, and claims the key by an insert: exactly one caller holds it afterwards. */
static void gone_in_between(void (*go)(void))
{
    meanwhile going = {.act = go};
    a = expired_claim();
    b_begins(IDEM_OP_REPLACE, &going, IDEM_NEW);
    ck_assert_uint_eq(b.attempt, 1);
    assert_outcome(one, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(other, b.claim, idem_str("\"B\""), &err));
    assert_replayed(one, "\"B\"");
    clear_both();
}

START_TEST(a_key_that_is_gone_before_the_takeover_is_claimed_by_an_insert)
{
    gone_in_between(_i ? a_releases : a_is_forgotten);
}
END_TEST

static idem_outcome c;

static void c_claims(void)
{
    c = BEGIN(one, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_int_eq(c.kind, IDEM_NEW);
}

static void a_releases_and_c_will_claim(void)
{
    static meanwhile claim = {.act = c_claims};
    a_releases();
    in_front_of(IDEM_OP_INSERT, &claim);
}

/* A begins; its lease runs out; B reads; A releases; B finds nothing; C claims; B inserts. */
START_TEST(a_key_that_was_gone_and_is_claimed_anew_is_not_new_to_another)
{
    meanwhile release = {.act = a_releases_and_c_will_claim};
    a = expired_claim();
    b_begins(IDEM_OP_REPLACE, &release, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(one, c.claim, idem_str("\"C\""), &err));
    assert_replayed(other, "\"C\"");
    idem_outcome_clear(&c);
    clear_both();
}
END_TEST

/* B looks (or not) and finds nothing; C claims; B inserts. */
START_TEST(a_key_that_is_claimed_before_the_insert_is_not_new_to_another)
{
    meanwhile claim = {.act = c_claims};
    b_begins(IDEM_OP_INSERT, &claim, IDEM_IN_PROGRESS);
    assert_ok(idem_release(one, c.claim, &err));
    idem_outcome_clear(&c);
    clear_both();
}
END_TEST

/* --------------------------------------------------- a waiter that deletes the owner's claim */

/* A begins; B waits for it, in vain; B gives up and clears all that it has; A completes. */
START_TEST(a_waiter_that_gives_up_leaves_the_owners_claim)
{
    a = claim_key(one, LONG_MS);
    idem_record before = record_now();
    b = BEGIN(other, .key = KEY, .wait_ms = SHORT_MS);
    ck_assert_int_eq(b.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&b);
    assert_unchanged(&before);
    a_completes();
    clear_both();
}
END_TEST

/* A begins; B waits for it, and the store fails under B, first once, then for good; A completes. */
START_TEST(a_waiter_whose_store_fails_leaves_the_owners_claim)
{
    idem_error error;
    a = claim_key(one, LONG_MS);
    idem_record before = record_now();
    FAULTY(.kind = FAULTY_AFTER, .nth = 2);
    FAULTY(.kind = FAULTY_BEFORE, .nth = 4, .times = FAULTY_ALWAYS);
    int rc =
        idem_begin(other, IDEM_REQUEST(.key = KEY, .wait_ms = LONG_MS, .timeout_ms = 2 * SHORT_MS),
                   &b, &error);
    ck_assert(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN); /* where begin inserts */
    faulty_clear();
    assert_unchanged(&before);
    a_completes();
    assert_replayed(other, "\"A\"");
    clear_both();
}
END_TEST

void schedules_races(Suite *suite)
{
    ADD(suite, "orphans", 0, ANY_TIME,
        a_claim_that_was_renewed_after_it_was_read_is_not_taken_for_an_orphan,
        a_claim_whose_renewal_was_sent_twice_is_not_taken_for_an_orphan,
        a_claim_that_was_begun_again_and_renewed_is_not_taken_for_an_orphan);
    ADD(suite, "late owners", 0, ANY_TIME,
        a_late_owner_does_not_overwrite_the_result_of_the_new_one,
        a_renewal_that_was_long_on_its_way_does_not_take_the_claim_back,
        an_expired_claim_is_not_run_again_while_its_owner_completes);
    ADD_LOOP(suite, "late owners", 0, ANY_TIME, 4,
             a_late_owner_does_not_touch_the_claim_of_the_new_one);
    ADD_LOOP(suite, "gone keys", 0, ANY_TIME, 2,
             a_key_that_is_gone_before_the_takeover_is_claimed_by_an_insert);
    ADD(suite, "gone keys", 0, ANY_TIME,
        a_key_that_was_gone_and_is_claimed_anew_is_not_new_to_another,
        a_key_that_is_claimed_before_the_insert_is_not_new_to_another);
    ADD(suite, "waiters", 0, REAL_TIME, a_waiter_that_gives_up_leaves_the_owners_claim,
        a_waiter_whose_store_fails_leaves_the_owners_claim);
}
