/* SPDX-License-Identifier: MIT */
/*
 * The state machine without any store: each answer of an operation, and what the protocol makes of
 * it. The rows of the table run on every backend in the conformance suite; here stand the turns
 * that a well-behaved backend seldom takes: lost replies, records that change between two
 * operations, and records of the older format.
 */
#include "protocol.h"

#include "runner.h"

#include <string.h>

static const uint8_t mine[IDEM_TOKEN_SIZE] = {1};
static const uint8_t theirs[IDEM_TOKEN_SIZE] = {2};

static void start_begin(idem__call *call, bool read_first)
{
    memset(call, 0, sizeof *call);
    call->kind = IDEM__CALL_BEGIN;
    call->read_first = read_first;
    call->key = idem_str("k");
    call->lease_ms = 1000;
    call->ttl_ms = 9000;
    memcpy(call->token, mine, sizeof mine);
    idem__protocol_start(call);
}

static idem_record record_of(const uint8_t token[IDEM_TOKEN_SIZE], uint64_t version,
                             uint64_t age_ms)
{
    idem_record record = {.key = idem_str("k"),
                          .status = IDEM_STATUS_IN_PROGRESS,
                          .attempt = 4,
                          .version = version,
                          .created_at_ms = 77,
                          .lease_ms = 1000,
                          .ttl_ms = 9000,
                          .age_ms = age_ms};
    memcpy(record.token, token, IDEM_TOKEN_SIZE);
    return record;
}

static void start_on_claim(idem__call *call, idem__call_kind kind, uint64_t version)
{
    memset(call, 0, sizeof *call);
    call->kind = kind;
    call->key = idem_str("k");
    call->text = idem_str("true");
    call->held = record_of(mine, version, 0);
    idem__protocol_start(call);
}

static idem__step answer_applied(idem__call *call)
{
    call->op.applied = true;
    return idem__protocol_answer(call);
}

static idem__step answer_absent(idem__call *call)
{
    return idem__protocol_answer(call);
}

static idem__step answer_found(idem__call *call, idem_record record)
{
    ck_assert_int_eq(idem_record_copy(&record, &call->op.found, NULL), IDEM_OK);
    call->op.has_found = true;
    return idem__protocol_answer(call);
}

static idem__step answer_error(idem__call *call, bool permanent, int code)
{
    idem_op_fail(&call->op, permanent, code, "fault");
    return idem__protocol_answer(call);
}

/* The op that is wanted, stamped as the driver would. */
static void assert_wants(idem__call *call, idem_op_kind kind, uint64_t expected, uint64_t stamp)
{
    ck_assert_int_eq(call->op.kind, kind);
    ck_assert_uint_eq(call->op.expected, expected);
    ck_assert_int_eq(call->op.error.code, IDEM_OK);
    ck_assert(!call->op.applied && !call->op.has_found);
    idem__protocol_stamp(call, stamp, 500);
    if (call->op.record)
        ck_assert_uint_eq(call->op.record->version, stamp);
}

static void assert_outcome(const idem__call *call, idem_outcome_kind outcome)
{
    ck_assert_int_eq(call->code, IDEM_OK);
    ck_assert_int_eq(call->outcome, outcome);
}

START_TEST(an_absent_key_is_never_new_without_an_insert)
{
    idem__call call;
    start_begin(&call, true);
    assert_wants(&call, IDEM_OP_GET, 0, 1);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_INSERT, 0, 2);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT); /* gone again when it was read */
    assert_wants(&call, IDEM_OP_INSERT, 0, 3);
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_NEW);
    ck_assert(call.held.version == 3 && call.held.attempt == 1 && call.held.created_at_ms == 500);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_lost_insert_is_recognised_by_its_token)
{
    idem__call call;
    start_begin(&call, false);
    assert_wants(&call, IDEM_OP_INSERT, 0, 1);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_again(&call);
    assert_wants(&call, IDEM_OP_INSERT, 0, 2); /* a fresh version */
    ck_assert_int_eq(answer_found(&call, record_of(mine, 1, 5)), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_NEW);
    ck_assert(call.held.version == 1 && call.held.attempt == 4);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(my_own_lease_that_ran_out_starts_anew)
{
    idem__call call;
    start_begin(&call, false);
    call.no_takeover = true; /* of others: I am the one who was counted */
    call.lease_ms = 3000;
    idem_record own = record_of(mine, 10, 1000);
    own.checkpoint = idem_str("[1]");
    own.fingerprint = idem_str("f");
    ck_assert_int_eq(answer_found(&call, own), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 10, 11);
    ck_assert(call.op.record->attempt == 4 && call.op.record->created_at_ms == 77);
    ck_assert_uint_eq(call.op.record->lease_ms, 3000);
    ck_assert_uint_eq(call.op.record->checkpoint.len, 3);
    ck_assert_uint_eq(call.op.record->fingerprint.len, 1);
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_NEW);
    ck_assert(call.held.attempt == 4 && call.held.version == 11 && call.held.age_ms == 0);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(my_own_lease_that_another_took_meanwhile_is_theirs)
{
    idem__call call;
    start_begin(&call, false);
    ck_assert_int_eq(answer_found(&call, record_of(mine, 10, 1000)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 10, 11);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 12, 0)), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_IN_PROGRESS);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(my_own_lease_that_is_live_is_left_as_it_is)
{
    idem__call call;
    start_begin(&call, false);
    ck_assert_int_eq(answer_found(&call, record_of(mine, 10, 999)), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_NEW);
    ck_assert(call.held.attempt == 4 && call.held.version == 10);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_takeover_names_the_version_it_read)
{
    idem__call call;
    start_begin(&call, false);
    idem_record dead = record_of(theirs, 10, 1000);
    dead.checkpoint = idem_str("{\"step\":2}");
    dead.fingerprint = idem_str("f");
    ck_assert_int_eq(answer_found(&call, dead), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 10, 11);
    ck_assert(call.op.record->attempt == 5 && call.op.record->created_at_ms == 77);
    ck_assert_mem_eq(call.op.record->token, mine, sizeof mine);
    ck_assert_uint_eq(call.op.record->checkpoint.len, 10);
    ck_assert_uint_eq(call.op.record->fingerprint.len, 1);
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_NEW);
    ck_assert(call.held.attempt == 5 && call.held.version == 11 && call.held.checkpoint.len == 10);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_claim_renewed_in_between_is_not_taken)
{
    idem__call call;
    start_begin(&call, false);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 10, 1000)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 10, 11);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 12, 400)), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_IN_PROGRESS);
    ck_assert_uint_eq(call.retry_after_ms, 600);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_record_gone_before_the_takeover_leads_back_to_the_insert)
{
    idem__call call;
    start_begin(&call, false);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 10, 1000)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_INSERT, 0, 12);
    ck_assert_uint_eq(call.op.record->attempt, 1);
    ck_assert_uint_eq(call.op.record->checkpoint.len, 0);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_lost_takeover_is_recognised_with_its_checkpoint)
{
    idem__call call;
    start_begin(&call, false);
    idem_record taken = record_of(mine, 11, 3);
    taken.attempt = 5;
    taken.checkpoint = idem_str("1");
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 10, 1000)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_again(&call);
    assert_wants(&call, IDEM_OP_INSERT, 0, 12);
    ck_assert_int_eq(answer_found(&call, taken), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_NEW);
    ck_assert(call.held.attempt == 5 && call.held.checkpoint.len == 1);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(told_not_to_take_over_it_reports_doubt)
{
    idem__call call;
    start_begin(&call, false);
    call.no_takeover = true;
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 10, 999)), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_IN_PROGRESS);
    idem__protocol_clear(&call);
    start_begin(&call, false);
    call.no_takeover = true;
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 10, 1000)), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_IN_DOUBT);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(resume_asks_for_the_token)
{
    idem__call call;
    memset(&call, 0, sizeof call);
    call.kind = IDEM__CALL_RESUME;
    call.key = idem_str("k");
    memcpy(call.token, mine, sizeof mine);
    idem__protocol_start(&call);
    assert_wants(&call, IDEM_OP_GET, 0, 1);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 2, 0)), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_LOST);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_record_without_a_token_is_never_taken_over)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    idem__call call;
    start_begin(&call, false);
    idem_record old = record_of(none, 0, 8000);
    old.lease_ms = 0; /* as a backend gives it */
    ck_assert_int_eq(answer_found(&call, old), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_IN_PROGRESS);
    ck_assert_uint_eq(call.retry_after_ms, 1000); /* until the key itself is gone */
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(fingerprints_are_judged_before_everything_else)
{
    idem__call call;
    start_begin(&call, false);
    idem_record own = record_of(mine, 1, 0);
    own.fingerprint = idem_str("a");
    call.fingerprint = idem_str("b");
    ck_assert_int_eq(answer_found(&call, own), IDEM__STEP_DONE);
    assert_outcome(&call, IDEM_MISMATCH);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(giving_up_tells_doubt_from_certainty)
{
    idem__call call;
    start_begin(&call, false);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNAVAILABLE), IDEM__STEP_AGAIN);
    idem__protocol_give_up(&call);
    ck_assert_int_eq(call.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(call.error.message, "fault");

    start_begin(&call, false);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_again(&call);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNAVAILABLE), IDEM__STEP_AGAIN);
    idem__protocol_give_up(&call);
    ck_assert_int_eq(call.code, IDEM_ERR_UNCERTAIN);

    static const int refusals[] = {IDEM_ERR_FULL, IDEM_ERR_NO_MEMORY, IDEM_ERR_UNAVAILABLE};
    for (int i = 0; i < 3; i++) { /* however the repeat is refused, the first may have been done */
        start_begin(&call, false);
        ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
        idem__protocol_again(&call);
        ck_assert_int_eq(answer_error(&call, true, refusals[i]), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_ERR_UNCERTAIN);
    }

    start_begin(&call, true); /* a read leaves no doubt */
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_give_up(&call);
    ck_assert_int_eq(call.code, IDEM_ERR_UNAVAILABLE);
}
END_TEST

START_TEST(what_repeating_cannot_mend_ends_the_call)
{
    idem__call call;
    start_begin(&call, false);
    ck_assert_int_eq(answer_error(&call, true, IDEM_ERR_UNAVAILABLE), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_UNAVAILABLE);
    start_begin(&call, false);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_FULL), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_FULL);
    start_begin(&call, false);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_CORRUPT), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT);
}
END_TEST

START_TEST(a_lost_complete_is_found_done)
{
    idem__call call;
    start_on_claim(&call, IDEM__CALL_COMPLETE, 1);
    idem_record completed = record_of(mine, 2, 0);
    completed.status = IDEM_STATUS_COMPLETED;
    assert_wants(&call, IDEM_OP_REPLACE, 1, 2);
    ck_assert_int_eq(call.op.record->status, IDEM_STATUS_COMPLETED);
    ck_assert_uint_eq(call.op.live_ms, 9000);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_again(&call);
    assert_wants(&call, IDEM_OP_REPLACE, 1, 3);
    ck_assert_int_eq(answer_found(&call, completed), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_claim_renewed_elsewhere_is_completed_from_what_is_there)
{
    idem__call call;
    start_on_claim(&call, IDEM__CALL_COMPLETE, 1);
    ck_assert_int_eq(answer_found(&call, record_of(mine, 8, 0)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 8, 9);
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_renewal_keeps_a_checkpoint_left_by_the_same_caller_elsewhere)
{
    idem__call call;
    start_on_claim(&call, IDEM__CALL_RENEW, 1);
    idem_record newer = record_of(mine, 8, 0);
    newer.checkpoint = idem_str("\"newer\"");
    ck_assert_int_eq(answer_found(&call, newer), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 8, 9);
    ck_assert_uint_eq(call.op.record->checkpoint.len, 7);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_completed_record_is_never_written_again)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_COMPLETE, IDEM__CALL_RENEW,
                                            IDEM__CALL_CHECKPOINT, IDEM__CALL_RELEASE};
    for (int i = 0; i < 4; i++) {
        idem__call call;
        idem_record completed = record_of(mine, 2, 0);
        completed.status = IDEM_STATUS_COMPLETED;
        memset(&call, 0, sizeof call);
        call.kind = kinds[i];
        call.key = idem_str("k");
        call.text = idem_str("1");
        call.held = completed; /* as resume leaves it */
        idem__protocol_start(&call);
        assert_wants(&call, IDEM_OP_GET, 0, 3);
        ck_assert_int_eq(answer_found(&call, completed), IDEM__STEP_DONE);
        bool refused = kinds[i] == IDEM__CALL_RENEW || kinds[i] == IDEM__CALL_CHECKPOINT;
        ck_assert_int_eq(call.code, refused ? IDEM_ERR_LOST : IDEM_OK);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(what_another_holds_is_lost_and_what_is_gone_not_found)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_COMPLETE, IDEM__CALL_RENEW,
                                            IDEM__CALL_CHECKPOINT};
    for (int i = 0; i < 3; i++) {
        idem__call call;
        start_on_claim(&call, kinds[i], 1);
        ck_assert_int_eq(answer_found(&call, record_of(theirs, 2, 0)), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_ERR_LOST);
        ck_assert_ptr_nonnull(strstr(call.error.message, "another caller"));
        idem__protocol_clear(&call);
        start_on_claim(&call, kinds[i], 1);
        ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_ERR_NOT_FOUND);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(release_is_fine_with_whatever_is_not_mine)
{
    idem__call call;
    start_on_claim(&call, IDEM__CALL_RELEASE, 1);
    assert_wants(&call, IDEM_OP_REMOVE, 1, 2);
    ck_assert_int_eq(answer_found(&call, record_of(mine, 5, 0)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REMOVE, 5, 6);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 0)), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
    idem__protocol_clear(&call);
}
END_TEST

static void start_operator(idem__call *call, idem__call_kind kind)
{
    memset(call, 0, sizeof *call);
    call->kind = kind;
    call->key = idem_str("k");
    call->text = idem_str("{}");
    memcpy(call->token, mine, sizeof mine);
    idem__protocol_start(call);
    assert_wants(call, IDEM_OP_GET, 0, 1);
}

START_TEST(forget_takes_away_what_it_saw_and_nothing_that_came_later)
{
    idem__call call;
    start_operator(&call, IDEM__CALL_FORGET);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 0)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REMOVE, 7, 2);
    ck_assert(!call.op.any_version);
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_again(&call);
    assert_wants(&call, IDEM_OP_GET, 0, 3);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 8, 0)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REMOVE, 8, 4);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 9, 0)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REMOVE, 9, 5);
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
    idem__protocol_clear(&call);
    start_operator(&call, IDEM__CALL_FORGET);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
}
END_TEST

START_TEST(forget_takes_away_what_has_no_version)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    idem__call call;
    start_operator(&call, IDEM__CALL_FORGET);
    ck_assert_int_eq(answer_found(&call, record_of(none, 0, 0)), IDEM__STEP_NEXT);
    ck_assert(call.op.kind == IDEM_OP_REMOVE && call.op.any_version);
    ck_assert_int_eq(answer_found(&call, record_of(none, 0, 0)), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT); /* a store that does not remove it */
    idem__protocol_clear(&call);
}
END_TEST

/* A claim whose record is not known, for want of memory, names version 0; and so does a record of
   the older format. That is no refusal in vain: another caller's record is there. */
START_TEST(a_record_of_the_older_format_in_a_claims_place_is_another_callers)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    idem__call call;
    start_on_claim(&call, IDEM__CALL_RENEW, 0);
    ck_assert_int_eq(answer_found(&call, record_of(none, 0, 0)), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_LOST);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(forget_leaves_what_is_no_record_unless_it_is_forced)
{
    idem__call call;
    start_operator(&call, IDEM__CALL_FORGET);
    ck_assert_int_eq(answer_error(&call, true, IDEM_ERR_CORRUPT), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT);
    start_operator(&call, IDEM__CALL_FORGET); /* garbage that came after the look */
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 0)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_error(&call, true, IDEM_ERR_CORRUPT), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT);
    idem__protocol_clear(&call);
    start_operator(&call, IDEM__CALL_FORGET_ANY);
    ck_assert_int_eq(answer_error(&call, true, IDEM_ERR_CORRUPT), IDEM__STEP_NEXT);
    ck_assert(call.op.kind == IDEM_OP_REMOVE && call.op.any_version);
    ck_assert_int_eq(answer_error(&call, true, IDEM_ERR_CORRUPT), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT);
}
END_TEST

START_TEST(operators_decide_only_about_what_no_live_owner_holds)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_FORGET_EXPIRED, IDEM__CALL_SETTLE};
    static const uint8_t none[IDEM_TOKEN_SIZE];
    idem_record completed = record_of(theirs, 5, 2000);
    completed.status = IDEM_STATUS_COMPLETED;
    const idem_record others[] = {record_of(theirs, 5, 999), completed, record_of(none, 0, 8000)};
    static const char *const words[] = {"live owner, whose lease is good for another 1 ms",
                                        "completed", "1000 ms"};
    for (int i = 0; i < 6; i++) {
        idem__call call;
        start_operator(&call, kinds[i % 2]);
        idem_record other = others[i / 2];
        if (i / 2 == 2)
            other.ttl_ms = 9000, other.lease_ms = 0;
        ck_assert_int_eq(answer_found(&call, other), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_ERR_LOST);
        ck_assert_ptr_nonnull(strstr(call.error.message, "\"k\""));
        ck_assert_ptr_nonnull(strstr(call.error.message, words[i / 2]));
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(forget_expired_names_the_version_that_it_judged)
{
    idem__call call;
    start_operator(&call, IDEM__CALL_FORGET_EXPIRED);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 1000)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REMOVE, 7, 2);
    ck_assert(!call.op.any_version);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 8, 10)), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_LOST); /* renewed in between */
    idem__protocol_clear(&call);
    start_operator(&call, IDEM__CALL_FORGET_EXPIRED);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 1000)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
    idem__protocol_clear(&call);
    start_operator(&call, IDEM__CALL_FORGET_EXPIRED);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
}
END_TEST

START_TEST(settle_completes_under_a_token_of_its_own)
{
    idem__call call;
    idem_record dead = record_of(theirs, 7, 1000);
    dead.checkpoint = idem_str("1");
    dead.fingerprint = idem_str("f");
    start_operator(&call, IDEM__CALL_SETTLE);
    ck_assert_int_eq(answer_found(&call, dead), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 7, 8);
    const idem_record *stored = call.op.record;
    ck_assert(stored->status == IDEM_STATUS_COMPLETED && stored->attempt == 4);
    ck_assert(stored->created_at_ms == 77 && stored->ttl_ms == 9000 && call.op.live_ms == 9000);
    ck_assert(stored->response.len == 2 && stored->checkpoint.len == 0);
    ck_assert_uint_eq(stored->fingerprint.len, 1);
    ck_assert_mem_eq(stored->token, mine, sizeof mine);
    idem_record settled = *stored;
    ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
    idem__protocol_again(&call);
    assert_wants(&call, IDEM_OP_GET, 0, 9);
    ck_assert_int_eq(answer_found(&call, settled), IDEM__STEP_DONE); /* the reply was lost */
    ck_assert_int_eq(call.code, IDEM_OK);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(settle_needs_a_record_and_is_told_who_was_quicker)
{
    idem__call call;
    idem_record completed = record_of(theirs, 8, 0);
    completed.status = IDEM_STATUS_COMPLETED;
    start_operator(&call, IDEM__CALL_SETTLE);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_NOT_FOUND);
    start_operator(&call, IDEM__CALL_SETTLE);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 1000)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_found(&call, completed), IDEM__STEP_DONE); /* the late owner */
    ck_assert_int_eq(call.code, IDEM_ERR_LOST);
    idem__protocol_clear(&call);
    start_operator(&call, IDEM__CALL_SETTLE);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 7, 1000)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_found(&call, record_of(theirs, 9, 5000)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 9, 10); /* another one that crashed */
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_NOT_FOUND);
    idem__protocol_clear(&call);
}
END_TEST

/* ------------------------------------------------------------------------------- reinstatement */

static void start_reinstating(idem__call *call, idem__call_kind kind)
{
    start_on_claim(call, kind, 1);
    call->reinstate = true;
    call->held.checkpoint = idem_str("\"half\"");
    idem__protocol_start(call);
}

START_TEST(what_the_store_has_lost_is_put_back)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_COMPLETE, IDEM__CALL_RENEW,
                                            IDEM__CALL_CHECKPOINT};
    for (int i = 0; i < 3; i++) {
        idem__call call;
        bool completes = kinds[i] == IDEM__CALL_COMPLETE;
        start_reinstating(&call, kinds[i]);
        assert_wants(&call, IDEM_OP_REPLACE, 1, 2);
        ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
        assert_wants(&call, IDEM_OP_INSERT, 0, 3);
        const idem_record *stored = call.op.record;
        ck_assert_int_eq(stored->status,
                         completes ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS);
        ck_assert(stored->attempt == 4 && stored->created_at_ms == 77);
        ck_assert_mem_eq(stored->token, mine, sizeof mine);
        ck_assert_uint_eq(stored->response.len, completes ? 4 : 0);
        ck_assert_uint_eq(stored->checkpoint.len, completes                           ? 0
                                                  : kinds[i] == IDEM__CALL_CHECKPOINT ? 4
                                                                                      : 6);
        ck_assert(!call.reinstated);
        ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
        ck_assert(call.code == IDEM_OK && call.reinstated && call.held.version == 3);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(whoever_was_quicker_than_a_reinstatement_keeps_the_key)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_COMPLETE, IDEM__CALL_RENEW,
                                            IDEM__CALL_CHECKPOINT};
    for (int i = 0; i < 3; i++) {
        idem__call call;
        start_reinstating(&call, kinds[i]);
        ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
        ck_assert_int_eq(answer_found(&call, record_of(theirs, 9, 0)), IDEM__STEP_DONE);
        ck_assert(call.code == IDEM_ERR_LOST && !call.reinstated);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(a_reinstatement_by_somebody_with_my_token_is_mine)
{
    idem__call call;
    start_reinstating(&call, IDEM__CALL_COMPLETE);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_found(&call, record_of(mine, 9, 0)), IDEM__STEP_NEXT);
    assert_wants(&call, IDEM_OP_REPLACE, 9, 10); /* the keepalive's */
    ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
    ck_assert(call.code == IDEM_OK && !call.reinstated);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(a_reinstatement_whose_reply_was_lost_is_recognised)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_RENEW, IDEM__CALL_COMPLETE};
    for (int i = 0; i < 2; i++) {
        idem__call call;
        start_reinstating(&call, kinds[i]);
        ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
        assert_wants(&call, IDEM_OP_INSERT, 0, 3);
        ck_assert_int_eq(answer_error(&call, false, IDEM_ERR_UNCERTAIN), IDEM__STEP_AGAIN);
        idem__protocol_again(&call);
        assert_wants(&call, IDEM_OP_REPLACE, 1, 4);
        idem_record own = record_of(mine, 3, 0);
        if (kinds[i] == IDEM__CALL_COMPLETE)
            own.status = IDEM_STATUS_COMPLETED;
        idem__step step = answer_found(&call, own);
        ck_assert(call.reinstated);
        if (kinds[i] == IDEM__CALL_RENEW) {
            ck_assert_int_eq(step, IDEM__STEP_NEXT);
            assert_wants(&call, IDEM_OP_REPLACE, 3, 5);
            step = answer_applied(&call);
        }
        ck_assert(step == IDEM__STEP_DONE && call.code == IDEM_OK && call.reinstated);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(what_has_ended_is_not_put_back)
{
    idem__call call;
    start_reinstating(&call, IDEM__CALL_RENEW);
    call.held.status = IDEM_STATUS_COMPLETED;
    idem__protocol_start(&call);
    assert_wants(&call, IDEM_OP_GET, 0, 1);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_ERR_NOT_FOUND);
    start_reinstating(&call, IDEM__CALL_RELEASE);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_DONE);
    ck_assert_int_eq(call.code, IDEM_OK);
}
END_TEST

/* ----------------------------------------------------------------------- stores that contradict */

START_TEST(a_refusal_that_shows_what_was_named_is_an_error_at_once)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_COMPLETE, IDEM__CALL_RENEW,
                                            IDEM__CALL_CHECKPOINT, IDEM__CALL_RELEASE};
    for (int i = 0; i < 4; i++) {
        idem__call call;
        start_on_claim(&call, kinds[i], 5);
        ck_assert_int_eq(answer_found(&call, record_of(mine, 5, 0)), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(call.error.message, "\"k\""));
        idem__protocol_clear(&call);
    }
    idem__call begin;
    start_begin(&begin, false);
    ck_assert_int_eq(answer_found(&begin, record_of(theirs, 5, 1000)), IDEM__STEP_NEXT);
    ck_assert_int_eq(answer_found(&begin, record_of(theirs, 5, 1000)), IDEM__STEP_DONE);
    ck_assert_int_eq(begin.code, IDEM_ERR_CORRUPT);
    idem__protocol_clear(&begin);
    static const idem__call_kind operators[] = {IDEM__CALL_FORGET_EXPIRED, IDEM__CALL_SETTLE};
    for (int i = 0; i < 2; i++) {
        idem__call call;
        start_operator(&call, operators[i]);
        ck_assert_int_eq(answer_found(&call, record_of(theirs, 5, 1000)), IDEM__STEP_NEXT);
        ck_assert_int_eq(answer_found(&call, record_of(theirs, 5, 1000)), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_ERR_CORRUPT);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(what_was_read_and_can_not_be_compared_is_forgotten_all_the_same)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_FORGET, IDEM__CALL_FORGET_ANY};
    for (int i = 0; i < 2; i++) {
        idem__call call;
        start_operator(&call, kinds[i]);
        ck_assert_int_eq(answer_found(&call, record_of(theirs, 5, 0)), IDEM__STEP_NEXT);
        assert_wants(&call, IDEM_OP_REMOVE, 5, 6);
        ck_assert_int_eq(answer_found(&call, record_of(theirs, 5, 0)), IDEM__STEP_NEXT);
        ck_assert(call.op.kind == IDEM_OP_REMOVE && call.op.any_version);
        ck_assert_int_eq(answer_applied(&call), IDEM__STEP_DONE);
        ck_assert_int_eq(call.code, IDEM_OK);
        idem__protocol_clear(&call);
    }
}
END_TEST

START_TEST(a_call_that_is_sent_about_has_to_pause)
{
    idem__call call;
    idem__step step = IDEM__STEP_NEXT;
    start_begin(&call, false);
    unsigned operations = 0;
    for (; step == IDEM__STEP_NEXT && operations < 1000; operations++)
        step = answer_absent(&call); /* refused, and nothing there: for ever */
    ck_assert_int_eq(step, IDEM__STEP_AGAIN);
    ck_assert_uint_le(operations, 32);
    idem__protocol_again(&call);
    assert_wants(&call, IDEM_OP_INSERT, 0, 3);
    ck_assert_int_eq(answer_absent(&call), IDEM__STEP_NEXT);
    idem__protocol_clear(&call);
}
END_TEST

START_TEST(an_attempt_counts_no_further_than_it_can)
{
    idem__call call;
    start_begin(&call, false);
    idem_record last = record_of(theirs, 10, 1000);
    last.attempt = UINT32_MAX;
    ck_assert_int_eq(answer_found(&call, last), IDEM__STEP_NEXT);
    ck_assert_uint_eq(call.op.record->attempt, UINT32_MAX);
    idem__protocol_clear(&call);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol");
    ADD(suite, an_absent_key_is_never_new_without_an_insert);
    ADD(suite, a_lost_insert_is_recognised_by_its_token);
    ADD(suite, my_own_lease_that_ran_out_starts_anew);
    ADD(suite, my_own_lease_that_another_took_meanwhile_is_theirs);
    ADD(suite, my_own_lease_that_is_live_is_left_as_it_is);
    ADD(suite, a_takeover_names_the_version_it_read);
    ADD(suite, a_claim_renewed_in_between_is_not_taken);
    ADD(suite, a_record_gone_before_the_takeover_leads_back_to_the_insert);
    ADD(suite, a_lost_takeover_is_recognised_with_its_checkpoint);
    ADD(suite, told_not_to_take_over_it_reports_doubt);
    ADD(suite, resume_asks_for_the_token);
    ADD(suite, a_record_without_a_token_is_never_taken_over);
    ADD(suite, fingerprints_are_judged_before_everything_else);
    ADD(suite, giving_up_tells_doubt_from_certainty);
    ADD(suite, what_repeating_cannot_mend_ends_the_call);
    ADD(suite, a_lost_complete_is_found_done);
    ADD(suite, a_claim_renewed_elsewhere_is_completed_from_what_is_there);
    ADD(suite, a_renewal_keeps_a_checkpoint_left_by_the_same_caller_elsewhere);
    ADD(suite, a_completed_record_is_never_written_again);
    ADD(suite, what_another_holds_is_lost_and_what_is_gone_not_found);
    ADD(suite, release_is_fine_with_whatever_is_not_mine);
    ADD(suite, forget_takes_away_what_it_saw_and_nothing_that_came_later);
    ADD(suite, forget_takes_away_what_has_no_version);
    ADD(suite, a_record_of_the_older_format_in_a_claims_place_is_another_callers);
    ADD(suite, forget_leaves_what_is_no_record_unless_it_is_forced);
    ADD(suite, operators_decide_only_about_what_no_live_owner_holds);
    ADD(suite, forget_expired_names_the_version_that_it_judged);
    ADD(suite, settle_completes_under_a_token_of_its_own);
    ADD(suite, settle_needs_a_record_and_is_told_who_was_quicker);
    ADD(suite, what_the_store_has_lost_is_put_back);
    ADD(suite, whoever_was_quicker_than_a_reinstatement_keeps_the_key);
    ADD(suite, a_reinstatement_by_somebody_with_my_token_is_mine);
    ADD(suite, a_reinstatement_whose_reply_was_lost_is_recognised);
    ADD(suite, what_has_ended_is_not_put_back);
    ADD(suite, a_refusal_that_shows_what_was_named_is_an_error_at_once);
    ADD(suite, what_was_read_and_can_not_be_compared_is_forgotten_all_the_same);
    ADD(suite, a_call_that_is_sent_about_has_to_pause);
    ADD(suite, an_attempt_counts_no_further_than_it_can);
    return run_suite(suite);
}
