/* SPDX-License-Identifier: MIT */
/*
 * idem_begin() for want of memory, in all its outcomes. If it fails, nothing was claimed: the key
 * is as it was, and the next caller is told what this one would have been told.
 */
#include "trial.h"

#include <runner.h>

static int begin_key(trial *t, uint64_t flags, idem_error *error)
{
    return idem_begin(t->store,
                      IDEM_REQUEST(.key = t->key, .token = t->token, .lease_ms = LONG_MS,
                                   .fingerprint = idem_str("body"), .flags = flags),
                      &t->made, error);
}

static int begin_plain(trial *t, idem_error *error)
{
    return begin_key(t, 0, error);
}

static int begin_kept(trial *t, idem_error *error)
{
    return begin_key(t, IDEM_KEEPALIVE, error);
}

static int begin_cautious(trial *t, idem_error *error)
{
    return begin_key(t, IDEM_NO_TAKEOVER, error);
}

static int begin_other_content(trial *t, idem_error *error)
{
    return idem_begin(t->store,
                      IDEM_REQUEST(.key = t->key, .fingerprint = idem_str("another body")),
                      &t->made, error);
}

static int begin_waiting(trial *t, idem_error *error)
{
    return idem_begin(t->store, IDEM_REQUEST(.key = t->key, .wait_ms = 1), &t->made, error);
}

/* The claim that begin gave has to be good. */
static void judge_claimed(trial *t, uint32_t attempt)
{
    expect(t->made.kind == IDEM_NEW && t->made.attempt == attempt && t->made.claim);
    expect(attempt == 1 || is_text(t->made.checkpoint, CHECKPOINT));
    expect_ok(idem_renew(t->store, t->made.claim, 0, &clean));
    remember(t);
    expect(is_text(t->before.checkpoint, attempt > 1 ? CHECKPOINT : ""));
    expect(is_text(t->before.fingerprint, "body"));
    expect_ok(idem_complete(t->store, t->made.claim, idem_str(RESPONSE), &clean));
    idem_outcome_clear(&t->made);
    expect_begin(t, OTHER_TOKEN, IDEM_COMPLETED, attempt);
}

static void judge_new(trial *t, int rc)
{
    if (rc == IDEM_OK) {
        judge_claimed(t, 1);
        return;
    }
    expect(is_blank(&t->made));
    if (rc == IDEM_ERR_NO_MEMORY)
        expect(is_absent(t));
    expect_begin(t, rc == IDEM_ERR_NO_MEMORY ? OTHER_TOKEN : t->token, IDEM_NEW, 1);
}

static void prepare_expired(trial *t)
{
    hold(t, 1, 0);
    place_advance(t->at, 2);
    remember(t);
}

static void judge_takeover(trial *t, int rc)
{
    if (rc == IDEM_OK) {
        idem_record_clear(&t->before);
        judge_claimed(t, 2);
        return;
    }
    expect(is_blank(&t->made));
    if (rc == IDEM_ERR_NO_MEMORY)
        expect(is_unchanged(t));
    expect_begin(t, rc == IDEM_ERR_NO_MEMORY ? OTHER_TOKEN : t->token, IDEM_NEW, 2);
}

static void prepare_live(trial *t)
{
    hold(t, LONG_MS, 0);
    remember(t);
}

/* Whatever begin answers, the record stays and its owner can complete. */
static void judge_left_alone(trial *t, int rc, idem_outcome_kind kind)
{
    expect(rc == IDEM_OK || is_blank(&t->made));
    expect(is_unchanged(t));
    if (rc == IDEM_OK) {
        expect(t->made.kind == kind && (kind == IDEM_NEW) == (t->made.claim != NULL));
        idem_outcome_clear(&t->made);
    }
    expect_ok(idem_complete(t->store, t->held.claim, idem_str(RESPONSE), &clean));
    expect_begin(t, OTHER_TOKEN, IDEM_COMPLETED, 1);
}

static void judge_in_progress(trial *t, int rc)
{
    judge_left_alone(t, rc, IDEM_IN_PROGRESS);
}

static void judge_mismatch(trial *t, int rc)
{
    judge_left_alone(t, rc, IDEM_MISMATCH);
}

static void judge_in_doubt(trial *t, int rc)
{
    if (rc == IDEM_OK)
        expect(is_text(t->made.checkpoint, CHECKPOINT));
    judge_left_alone(t, rc, IDEM_IN_DOUBT);
}

/* The same caller begins again while its first claim is in use. */
static void prepare_own(trial *t)
{
    hold(t, LONG_MS, 0);
    memcpy(t->token, idem_claim_token(t->held.claim), sizeof t->token);
    remember(t);
}

static void judge_own(trial *t, int rc)
{
    if (rc == IDEM_OK)
        expect(t->made.attempt == 1 && is_text(t->made.checkpoint, CHECKPOINT));
    judge_left_alone(t, rc, IDEM_NEW);
}

static void prepare_completed(trial *t)
{
    hold_completed(t);
    remember(t);
}

static void judge_completed(trial *t, int rc)
{
    if (rc == IDEM_OK)
        expect(is_text(t->made.response, RESPONSE));
    judge_left_alone(t, rc, IDEM_COMPLETED);
}

START_TEST(a_begin_that_fails_has_claimed_nothing)
{
    static const subject subjects[] = {
        {"begin, new", 0, true, false, NULL, begin_plain, judge_new},
        {"begin, new, kept alive", IDEM_TRAIT_KEEPALIVE, true, false, NULL, begin_kept, judge_new},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_takeover_that_fails_loses_neither_the_attempt_nor_the_checkpoint)
{
    static const subject subjects[] = {
        {"begin, takeover", 0, true, false, prepare_expired, begin_plain, judge_takeover},
        {"begin, in doubt", 0, true, false, prepare_expired, begin_cautious, judge_in_doubt},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_begin_that_fails_leaves_another_claim_alone)
{
    static const subject subjects[] = {
        {"begin, in progress", 0, true, false, prepare_live, begin_plain, judge_in_progress},
        {"begin, waiting", 0, true, false, prepare_live, begin_waiting, judge_in_progress},
        {"begin, mismatch", 0, true, false, prepare_live, begin_other_content, judge_mismatch},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_begin_by_the_same_caller_that_fails_does_not_end_his_claim)
{
    static const subject subjects[] = {
        {"begin, own token", 0, true, false, prepare_own, begin_plain, judge_own},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_replay_that_fails_is_there_the_next_time)
{
    static const subject subjects[] = {
        {"begin, completed", 0, true, false, prepare_completed, begin_plain, judge_completed},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocation_begin");
    places_start();
    ADD(suite, a_begin_that_fails_has_claimed_nothing);
    ADD(suite, a_takeover_that_fails_loses_neither_the_attempt_nor_the_checkpoint);
    ADD(suite, a_begin_that_fails_leaves_another_claim_alone);
    ADD(suite, a_begin_by_the_same_caller_that_fails_does_not_end_his_claim);
    ADD(suite, a_replay_that_fails_is_there_the_next_time);
    int status = run_suite(suite);
    trial_summary("allocation_begin");
    places_end();
    return status;
}
