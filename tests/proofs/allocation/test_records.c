/* SPDX-License-Identifier: MIT */
/*
 * get, forget, scan, purge and check for want of memory: what they can't do is left as it is, and
 * done the next time.
 */
#include "trial.h"

#include <runner.h>

#include <stdio.h>

static void prepare_completed(trial *t)
{
    hold_completed(t);
    remember(t);
}

static int get(trial *t, idem_error *error)
{
    return idem_get(t->store, t->key, &t->record, error);
}

static void judge_get(trial *t, int rc)
{
    expect(is_unchanged(t));
    if (rc) {
        expect(is_untouched(t->record));
        expect_ok(get(t, &clean));
    }
    expect(t->record.status == IDEM_STATUS_COMPLETED && is_text(t->record.response, RESPONSE));
    idem_record_clear(&t->record);
}

static int forget(trial *t, idem_error *error)
{
    return idem_forget(t->store, t->key, error);
}

static void judge_forget(trial *t, int rc)
{
    if (rc == IDEM_ERR_NO_MEMORY)
        expect(is_unchanged(t));
    expect_ok(forget(t, &clean));
    expect(is_absent(t));
    expect_begin(t, OTHER_TOKEN, IDEM_NEW, 1);
}

/* ------------------------------------------------------------------------------ scan and purge */

#define MORE 3u

static unsigned given;

static int count_record(const idem_record *record, void *user)
{
    const trial *t = user;
    given += record->key.len > t->key.len && memcmp(record->key.data, t->key.data, t->key.len) == 0;
    return 0;
}

static idem_bytes more_key(const trial *t, unsigned number, char buf[64])
{
    (void)snprintf(buf, 64, "%s-%u", t->key_text, number);
    return idem_str(buf);
}

static void claim_more(trial *t, uint64_t ms)
{
    for (unsigned i = 0; i < MORE; i++) {
        char buf[64];
        idem_outcome out = {0};
        const idem_request *request =
            IDEM_REQUEST(.key = more_key(t, i, buf), .lease_ms = ms, .ttl_ms = ms);
        expect_ok(idem_begin(t->store, request, &out, &clean));
        idem_outcome_clear(&out);
    }
}

static void prepare_some(trial *t)
{
    claim_more(t, LONG_MS);
}

static int scan(trial *t, idem_error *error)
{
    idem_filter filter = {.size = sizeof filter, .prefix = t->key};
    given = 0;
    return idem_scan(t->store, &filter, count_record, t, error);
}

static void judge_scan(trial *t, int rc)
{
    expect(rc ? given <= MORE : given == MORE);
    expect_ok(scan(t, &clean));
    expect(given == MORE);
    for (unsigned i = 0; i < MORE; i++) {
        char buf[64];
        expect_ok(idem_forget(t->store, more_key(t, i, buf), &clean));
    }
}

static void prepare_expired(trial *t)
{
    expect_ok(idem_purge(t->store, 0, NULL, &clean));
    claim_more(t, 1);
    place_advance(t->at, 2);
}

static uint64_t removed;

static int purge(trial *t, idem_error *error)
{
    removed = 4711;
    return idem_purge(t->store, 0, &removed, error);
}

/* Writes sweep a little on their way, so that fewer may be left. */
static void judge_purge(trial *t, int rc)
{
    expect(rc ? removed == 4711 : removed <= MORE);
    expect_ok(purge(t, &clean));
    expect(removed <= MORE);
    expect_ok(purge(t, &clean));
    expect(removed == 0);
}

static unsigned findings;

static void count_finding(void *user, const idem_finding *finding)
{
    (void)user;
    findings += *finding->what && *finding->fix;
}

static int check(trial *t, idem_error *error)
{
    findings = 0;
    return idem_check(t->store, count_finding, NULL, error);
}

/* Nobody may take a check that could not look for a sound store. */
static void judge_check(trial *t, int rc)
{
    unsigned told = findings;
    expect_ok(check(t, &clean));
    expect(rc != IDEM_OK || told == findings);
}

START_TEST(a_record_is_got_or_left_alone)
{
    static const subject subjects[] = {
        {"get", 0, false, false, prepare_completed, get, judge_get},
        {"forget", 0, true, false, prepare_completed, forget, judge_forget},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_scan_that_fails_can_be_repeated)
{
    static const subject subjects[] = {
        {"scan", IDEM_TRAIT_SCAN, false, false, prepare_some, scan, judge_scan},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_purge_that_fails_can_be_repeated)
{
    static const subject subjects[] = {
        {"purge", IDEM_TRAIT_PURGE, true, false, prepare_expired, purge, judge_purge},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_check_that_fails_says_so)
{
    static const subject subjects[] = {
        {"check", 0, false, false, NULL, check, judge_check},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocation_records");
    places_start();
    ADD(suite, a_record_is_got_or_left_alone);
    ADD(suite, a_scan_that_fails_can_be_repeated);
    ADD(suite, a_purge_that_fails_can_be_repeated);
    ADD(suite, a_check_that_fails_says_so);
    int status = run_suite(suite);
    trial_summary("allocation_records");
    places_end();
    return status;
}
