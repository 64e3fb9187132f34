/* SPDX-License-Identifier: MIT */
/*
 * The life of a handle for want of memory: opened, closed, taken across a fork(). A handle that
 * can't be opened leaves nothing behind, neither in memory nor in the store; one that lost its
 * connection gets it back with the first call that has memory.
 */
#include "trial.h"

#include <leave.h>
#include <runner.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t live;

static void prepare_open(trial *t)
{
    hold_completed(t);
    live = heap_live();
}

static int open_one(trial *t, idem_error *error)
{
    return t->at->open(t->at, &t->opened, error);
}

static void judge_open(trial *t, int rc)
{
    if (rc) {
        expect(is_untouched(t->opened));
        if (heap_live() != live)
            wrong("%lld blocks were left", (long long)(heap_live() - live));
        expect_ok(open_one(t, &clean));
    }
    if (!t->at->alone) { /* they see the same records */
        idem_record seen = {0};
        expect_ok(idem_get(t->opened, t->key, &seen, &clean));
        expect(is_text(seen.response, RESPONSE));
        idem_record_clear(&seen);
    }
    idem_close(t->opened);
}

/* A handle that has been used, with a claim that is kept alive where that is possible. */
static void prepare_close(trial *t)
{
    idem_store *own = NULL;
    expect_ok(t->at->open(t->at, &own, &clean));
    bool keeps = (idem_traits(own) & IDEM_TRAIT_KEEPALIVE) != 0;
    expect_ok(idem_begin(
        own, IDEM_REQUEST(.key = t->key, .lease_ms = LONG_MS, .flags = keeps ? IDEM_KEEPALIVE : 0),
        &t->held, &clean));
    t->own = own;
}

static int close_one(trial *t, idem_error *error)
{
    memset(error, 0, sizeof *error); /* it can't fail */
    idem_close(t->own);
    idem_outcome_clear(&t->held);
    return IDEM_OK;
}

/* The claim stays in the store; and the next handle opens. */
static void judge_close(trial *t, int rc)
{
    (void)rc;
    if (!t->at->alone)
        expect_begin(t, OTHER_TOKEN, IDEM_IN_PROGRESS, 1);
}

/* Behind a fork() connections are opened anew by the call that needs one. */
static void prepare_fork(trial *t)
{
    hold_completed(t);
    remember(t);
    pid_t pid = fork();
    if (pid == 0)
        leave(0);
    expect(pid > 0 && waitpid(pid, NULL, 0) == pid);
}

static int begin_again(trial *t, idem_error *error)
{
    return idem_begin(t->store, IDEM_REQUEST(.key = t->key), &t->made, error);
}

static void judge_begin_again(trial *t, int rc)
{
    if (rc) {
        expect(is_blank(&t->made));
        expect_ok(begin_again(t, &clean));
    }
    expect(t->made.kind == IDEM_COMPLETED && is_text(t->made.response, RESPONSE));
    idem_outcome_clear(&t->made);
    expect(is_unchanged(t));
}

START_TEST(a_handle_that_can_not_be_opened_leaves_nothing_behind)
{
    static const subject subjects[] = {
        {"open", 0, true, .own_handle = true, prepare_open, open_one, judge_open},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(a_handle_is_closed_without_memory)
{
    static const subject subjects[] = {
        {"close", 0, false, .own_handle = true, prepare_close, close_one, judge_close},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

START_TEST(behind_a_fork_a_handle_connects_as_soon_as_there_is_memory)
{
    static const subject subjects[] = {
        {"begin behind a fork", 0, true, .own_handle = true, prepare_fork, begin_again,
         judge_begin_again},
    };
    trial_run(subjects, sizeof subjects / sizeof subjects[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocation_open");
    places_start();
    ADD(suite, a_handle_that_can_not_be_opened_leaves_nothing_behind);
    ADD(suite, a_handle_is_closed_without_memory);
    ADD(suite, behind_a_fork_a_handle_connects_as_soon_as_there_is_memory);
    int status = run_suite(suite);
    trial_summary("allocation_open");
    places_end();
    return status;
}
