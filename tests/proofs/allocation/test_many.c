/* SPDX-License-Identifier: MIT */
/*
 * idem_begin_many() and idem_complete_many() for want of memory: what fails fails by itself, each item with
 * its own answer, and is as it was. Whatever the call returned, its outputs can be cleared.
 */
#include "trial.h"

#include <runner.h>

#include <stdio.h>

#define ITEMS 3

static char names[ITEMS][80];
static uint8_t tokens[ITEMS][IDEM_TOKEN_SIZE];
static idem_request requests[ITEMS];
static idem_outcome outcomes[ITEMS];
static idem_outcome held[ITEMS]; /* of claims that were made before */
static idem_error errors[ITEMS];

static const idem_bytes responses[ITEMS] = {{"[0]", 3}, {"[1]", 3}, {"[2]", 3}};

static void prepare_keys(trial *t)
{
    for (size_t i = 0; i < ITEMS; i++) {
        (void)snprintf(names[i], sizeof names[i], "%s-%zu", t->key_text, i);
        memcpy(tokens[i], t->token, IDEM_TOKEN_SIZE);
        tokens[i][IDEM_TOKEN_SIZE - 1] = (uint8_t)(i + 1);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(names[i]);
        requests[i].token = tokens[i];
        requests[i].lease_ms = LONG_MS;
        requests[i].fingerprint = idem_str("body");
    }
    memset(held, 0, sizeof held);
    memset(outcomes, UNTOUCHED, sizeof outcomes);
    memset(errors, UNTOUCHED, sizeof errors);
}

static void prepare_claims(trial *t)
{
    prepare_keys(t);
    for (size_t i = 0; i < ITEMS; i++)
        expect_ok(idem_begin(t->store, &requests[i], &held[i], &clean));
}

static void prepare_kept_claims(trial *t)
{
    prepare_keys(t);
    for (size_t i = 0; i < ITEMS; i++) {
        requests[i].flags = IDEM_KEEPALIVE;
        expect_ok(idem_begin(t->store, &requests[i], &held[i], &clean));
    }
}

static int complete_held(trial *t, idem_error *error)
{
    idem_claim *claims[ITEMS];
    for (size_t i = 0; i < ITEMS; i++)
        claims[i] = held[i].claim;
    return idem_complete_many(t->store, claims, responses, ITEMS, errors, error);
}

static void prepare_responses(trial *t)
{
    prepare_claims(t);
    expect_ok(complete_held(t, &clean));
}

static int begin_all(trial *t, idem_error *error)
{
    return idem_begin_many(t->store, requests, ITEMS, outcomes, errors, error);
}

/* --------------------------------------------------------------------------------------- judging */

/* The call returned the code of the first that failed; each code is one that want of memory gives. */
static void judge_codes(const trial *t, int rc)
{
    int first = IDEM_OK;
    for (size_t i = 0; i < ITEMS; i++) {
        int code = errors[i].code;
        expect(code == IDEM_OK || code == IDEM_ERR_NO_MEMORY ||
               (code == IDEM_ERR_UNCERTAIN && (t->at->remote || t->at->transactional)));
        if (first == IDEM_OK)
            first = code;
    }
    expect(first == rc);
}

static bool is_there(trial *t, size_t i, idem_record *record)
{
    memset(record, 0, sizeof *record);
    return idem_get(t->witness, requests[i].key, record, NULL) == IDEM_OK;
}

static void judge_begun(trial *t, int rc)
{
    idem_record record;
    judge_codes(t, rc);
    for (size_t i = 0; i < ITEMS; i++) {
        bool there = is_there(t, i, &record);
        idem_record_clear(&record);
        if (errors[i].code == IDEM_OK)
            expect(there && outcomes[i].kind == IDEM_NEW && outcomes[i].attempt == 1);
        else
            expect(outcomes[i].claim == NULL && outcomes[i].kind == 0);
        if (errors[i].code == IDEM_ERR_NO_MEMORY)
            expect(!there);
        idem_outcome_clear(&outcomes[i]);
    }
    /* The same caller comes again, with memory. */
    expect_ok(begin_all(t, &clean));
    for (size_t i = 0; i < ITEMS; i++) {
        expect(outcomes[i].kind == IDEM_NEW && outcomes[i].attempt == 1);
        expect_ok(idem_complete(t->store, outcomes[i].claim, responses[i], &clean));
        idem_outcome_clear(&outcomes[i]);
        expect_ok(idem_forget(t->witness, requests[i].key, &clean));
    }
}

static void judge_replayed(trial *t, int rc)
{
    judge_codes(t, rc);
    for (size_t i = 0; i < ITEMS; i++) {
        if (errors[i].code == IDEM_OK)
            expect(outcomes[i].kind == IDEM_COMPLETED &&
                   is_text(outcomes[i].response, responses[i].data));
        else
            expect(outcomes[i].kind == 0 && outcomes[i].response.len == 0);
        idem_outcome_clear(&outcomes[i]);
        idem_outcome_clear(&held[i]);
        expect_ok(idem_forget(t->witness, requests[i].key, &clean));
    }
}

static void judge_completed(trial *t, int rc)
{
    idem_record record;
    judge_codes(t, rc);
    for (size_t i = 0; i < ITEMS; i++) {
        bool completed = is_there(t, i, &record) && record.status == IDEM_STATUS_COMPLETED;
        idem_record_clear(&record);
        expect(!idem_claim_lost(held[i].claim));
        if (errors[i].code != IDEM_ERR_UNCERTAIN)
            expect(completed == (errors[i].code == IDEM_OK));
    }
    expect_ok(complete_held(t, &clean));
    for (size_t i = 0; i < ITEMS; i++) {
        expect(is_there(t, i, &record) && is_text(record.response, responses[i].data));
        idem_record_clear(&record);
        idem_outcome_clear(&held[i]);
        expect_ok(idem_forget(t->witness, requests[i].key, &clean));
    }
}

START_TEST(a_batch_of_begins_that_fails_has_claimed_nothing_where_it_says_so)
{
    static const subject subjects[] = {
        {"begin_many, new", 0, true, false, prepare_keys, begin_all, judge_begun},
        {"begin_many, completed", 0, true, false, prepare_responses, begin_all, judge_replayed},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_batch_of_completions_that_fails_can_be_repeated)
{
    static const subject subjects[] = {
        {"complete_many", 0, true, false, prepare_claims, complete_held, judge_completed},
        {"complete_many, kept alive", IDEM_TRAIT_KEEPALIVE, true, false, prepare_kept_claims,
         complete_held, judge_completed},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocation_many");
    places_start();
    ADD(suite, a_batch_of_begins_that_fails_has_claimed_nothing_where_it_says_so);
    ADD(suite, a_batch_of_completions_that_fails_can_be_repeated);
    int status = run_suite(suite);
    trial_summary("allocation_many");
    places_end();
    return status;
}
