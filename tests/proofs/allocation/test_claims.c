/* SPDX-License-Identifier: MIT */
/*
 * What can be done with a claim, for want of memory. A call that fails has changed nothing, the
 * claim is still good, and the same call succeeds as soon as there is memory. One that is in doubt
 * is settled by calling again.
 */
#include "trial.h"

#include <idem/jansson.h>

#include <runner.h>

static void prepare_held(trial *t)
{
    hold(t, LONG_MS, 0);
    remember(t);
}

static void prepare_kept(trial *t)
{
    hold(t, LONG_MS, IDEM_KEEPALIVE);
    remember(t);
}

/* It is still the owner's: nobody has taken it over. */
static void prepare_late(trial *t)
{
    hold(t, 1, 0);
    place_advance(t->at, 2);
    remember(t);
}

static int complete(trial *t, idem_error *error)
{
    return idem_complete(t->store, t->held.claim, idem_str(RESPONSE), error);
}

static int complete_bytes(trial *t, idem_error *error)
{
    return idem_complete_bytes(t->store, t->held.claim, idem_str(RESPONSE), error);
}

static void judge_complete(trial *t, int rc)
{
    if (rc == IDEM_ERR_NO_MEMORY)
        expect(is_unchanged(t));
    expect(!idem_claim_lost(t->held.claim));
    expect_ok(complete(t, &clean));
    expect_begin(t, OTHER_TOKEN, IDEM_COMPLETED, 1);
}

static void prepare_completed(trial *t)
{
    hold_completed(t);
    remember(t);
}

/* Completed already: to complete again is fine, and changes nothing. */
static void judge_again(trial *t, int rc)
{
    (void)rc;
    expect(is_unchanged(t));
    expect_ok(complete(t, &clean));
    expect_begin(t, OTHER_TOKEN, IDEM_COMPLETED, 1);
}

static int renew(trial *t, idem_error *error)
{
    return idem_renew(t->store, t->held.claim, 2 * LONG_MS, error);
}

static void judge_renew(trial *t, int rc)
{
    if (rc != IDEM_ERR_UNCERTAIN)
        expect(is_unchanged(t) == (rc == IDEM_ERR_NO_MEMORY));
    expect_ok(renew(t, &clean));
    idem_record_clear(&t->before);
    remember(t);
    expect(t->before.lease_ms == 2 * LONG_MS && is_text(t->before.checkpoint, CHECKPOINT));
    expect_ok(complete(t, &clean));
}

static int checkpoint(trial *t, idem_error *error)
{
    return idem_checkpoint(t->store, t->held.claim, idem_str("[1,2,3]"), error);
}

static void judge_checkpoint(trial *t, int rc)
{
    if (rc != IDEM_ERR_UNCERTAIN)
        expect(is_unchanged(t) == (rc == IDEM_ERR_NO_MEMORY));
    expect_ok(checkpoint(t, &clean));
    idem_record_clear(&t->before);
    remember(t);
    expect(is_text(t->before.checkpoint, "[1,2,3]"));
    expect_ok(complete(t, &clean));
}

static int release(trial *t, idem_error *error)
{
    return idem_release(t->store, t->held.claim, error);
}

static void judge_release(trial *t, int rc)
{
    if (rc == IDEM_ERR_NO_MEMORY)
        expect(is_unchanged(t));
    if (rc == IDEM_OK)
        expect(is_absent(t));
    expect_ok(release(t, &clean));
    expect(is_absent(t));
    expect_begin(t, OTHER_TOKEN, IDEM_NEW, 1);
}

/* Somebody else has taken it over meanwhile: that has to be found out, or nothing. */
static void prepare_lost(trial *t)
{
    idem_outcome theirs = {0};
    hold(t, 1, 0);
    place_advance(t->at, 2);
    expect_ok(idem_begin(t->witness,
                         IDEM_REQUEST(.key = t->key, .token = OTHER_TOKEN, .lease_ms = LONG_MS),
                         &theirs, &clean));
    expect(theirs.kind == IDEM_NEW && theirs.attempt == 2);
    idem_outcome_clear(&theirs);
    remember(t);
}

static int complete_lost(trial *t, idem_error *error)
{
    int rc = complete(t, error);
    if (rc != IDEM_ERR_LOST)
        return rc == IDEM_OK ? IDEM_ERR_INTERNAL : rc;
    memset(error, 0, sizeof *error); /* as it should be */
    return IDEM_OK;
}

static void judge_lost(trial *t, int rc)
{
    expect(is_unchanged(t));
    expect(idem_claim_lost(t->held.claim) == (rc == IDEM_OK));
    expect(complete(t, &clean) == IDEM_ERR_LOST);
}

static int resume(trial *t, idem_error *error)
{
    return idem_resume(t->store, t->key, t->token, &t->claim, error);
}

static void prepare_to_resume(trial *t)
{
    prepare_held(t);
    memcpy(t->token, idem_claim_token(t->held.claim), sizeof t->token);
}

static void judge_resume(trial *t, int rc)
{
    expect(is_unchanged(t));
    if (rc) {
        expect(is_untouched(t->claim));
        expect_ok(resume(t, &clean));
    }
    expect(memcmp(idem_claim_token(t->claim), t->token, sizeof t->token) == 0);
    expect_ok(idem_renew(t->store, t->claim, 0, &clean));
    idem_record_clear(&t->before);
    remember(t);
    expect(is_text(t->before.checkpoint, CHECKPOINT) && is_text(t->before.fingerprint, "body"));
    expect_ok(idem_complete(t->store, t->claim, idem_str(RESPONSE), &clean));
    idem_claim_free(t->claim);
    expect_begin(t, OTHER_TOKEN, IDEM_COMPLETED, 1);
}

/* ------------------------------------------------------------------------------------- jansson */

static void prepare_json(trial *t)
{
    prepare_held(t);
    t->own = json_pack("{s:b}", "charged", 1);
}

static int complete_json(trial *t, idem_error *error)
{
    return idem_complete_json(t->store, t->held.claim, t->own, error);
}

static void judge_json(trial *t, int rc)
{
    if (rc == IDEM_ERR_NO_MEMORY)
        expect(is_unchanged(t));
    expect_ok(complete_json(t, &clean));
    expect_begin(t, OTHER_TOKEN, IDEM_COMPLETED, 1);
    json_decref(t->own);
}

static int outcome_json(trial *t, idem_error *error)
{
    const idem_outcome outcome = {.kind = IDEM_COMPLETED, .response = idem_str(RESPONSE)};
    t->own = idem_outcome_json(&outcome, error);
    return t->own ? IDEM_OK : error->code;
}

static void judge_outcome_json(trial *t, int rc)
{
    if (rc != IDEM_OK)
        expect_ok(outcome_json(t, &clean));
    expect(json_is_true(json_object_get(t->own, "charged")));
    json_decref(t->own);
}

/* --------------------------------------------------------------------------------------- tests */

START_TEST(a_complete_that_fails_can_be_repeated)
{
    static const subject subjects[] = {
        {"complete", 0, true, false, prepare_held, complete, judge_complete},
        {"complete, late", 0, true, false, prepare_late, complete, judge_complete},
        {"complete, kept alive", IDEM_TRAIT_KEEPALIVE, true, false, prepare_kept, complete,
         judge_complete},
        {"complete with bytes", 0, true, false, prepare_held, complete_bytes, judge_complete},
        {"complete again", 0, true, false, prepare_completed, complete, judge_again},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_renewal_a_checkpoint_and_a_release_that_fail_can_be_repeated)
{
    static const subject subjects[] = {
        {"renew", 0, true, false, prepare_held, renew, judge_renew},
        {"renew, kept alive", IDEM_TRAIT_KEEPALIVE, true, false, prepare_kept, renew, judge_renew},
        {"checkpoint", 0, true, false, prepare_held, checkpoint, judge_checkpoint},
        {"release", 0, true, false, prepare_held, release, judge_release},
        {"release, kept alive", IDEM_TRAIT_KEEPALIVE, true, false, prepare_kept, release,
         judge_release},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_claim_that_is_lost_completes_nothing)
{
    static const subject subjects[] = {
        {"complete, lost", 0, true, false, prepare_lost, complete_lost, judge_lost},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_claim_can_be_resumed_as_soon_as_there_is_memory)
{
    static const subject subjects[] = {
        {"resume", 0, false, false, prepare_to_resume, resume, judge_resume},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(json_values_tell_want_of_memory_from_values_that_are_wrong)
{
    static const subject subjects[] = {
        {"complete_json", 0, true, false, prepare_json, complete_json, judge_json},
        {"outcome_json", 0, false, false, NULL, outcome_json, judge_outcome_json},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocation_claims");
    places_start();
    json_object_seed(1); /* jansson's own first time */
    ADD(suite, a_complete_that_fails_can_be_repeated);
    ADD(suite, a_renewal_a_checkpoint_and_a_release_that_fail_can_be_repeated);
    ADD(suite, a_claim_that_is_lost_completes_nothing);
    ADD(suite, a_claim_can_be_resumed_as_soon_as_there_is_memory);
    ADD(suite, json_values_tell_want_of_memory_from_values_that_are_wrong);
    int status = run_suite(suite);
    trial_summary("allocation_claims");
    places_end();
    return status;
}
