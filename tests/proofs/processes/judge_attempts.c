/* SPDX-License-Identifier: MIT */
/*
 * Guarantee 4: attempts rise by one with each takeover, and what an owner left for whoever continues
 * arrives there. Both hold for as long as no release can have removed the record in between.
 */
#include "judge.h"

/* ------------------------------------------------------------------------------------ attempts */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool others_between(const key_history *key, const event *a, const event *b)
{
    for (EACH(at, key)) {
        if (may_claim(at) && !same_caller(at, a) && at->start <= b->end && at->end >= a->start)
            return true;
    }
    return false;
}

/* Two claims, `a` the one that began first. */
static bool attempts_fit(const key_history *key, const event *a, const event *b)
{
    if (a->attempt == b->attempt)
        return same_caller(a, b);
    if (before(a, b) && a->attempt > b->attempt)
        return false;
    return !same_caller(a, b) || others_between(key, a, b);
}

static void judge_rising(const key_history *key, const event *claim)
{
    for (EACH(at, key)) {
        if (at >= claim)
            return;
        if (at->answer != ANSWER_NEW || attempts_fit(key, at, claim))
            continue;
        if (!judge_removed_within(key, earlier(at->start, claim->start),
                                  later(at->end, claim->end)))
            verdict_note(key, VIOLATION_ATTEMPT_NOT_RISING, claim, at);
    }
}

static bool attempt_is_known(const key_history *key, unsigned attempt, const event *until)
{
    for (EACH(at, key)) {
        if (at->answer == ANSWER_NEW && at->attempt == attempt && at->start <= until->end)
            return true;
    }
    return false;
}

/* Every attempt up to `last` was made by a claim that is known, or by a begin whose answer is not. */
static void judge_counted(const key_history *key, const event *told, unsigned last)
{
    size_t missing = told->attempt == 0 || told->attempt > key->count;
    for (unsigned attempt = 1; attempt <= last && attempt <= key->count; attempt++)
        missing += !attempt_is_known(key, attempt, told);
    for (EACH(at, key)) {
        if (missing > 0 && may_claim(at) && at->answer != ANSWER_NEW && at->start <= told->end)
            missing--;
    }
    if (missing > 0)
        verdict_note(key, VIOLATION_ATTEMPT_FROM_NOWHERE, told, NULL);
}

/* --------------------------------------------------------------------------------- checkpoints */

/* The text was sent by a checkpoint call that may have been done, and that was not followed by
   `acknowledged` (NULL: any). */
static bool was_left(const key_history *key, const event *told, const event *acknowledged)
{
    for (EACH(at, key)) {
        if (at->kind == CALL_CHECKPOINT && may_be_done(at) && at->start <= told->end &&
            strcmp(at->sent, told->given) == 0 && !(acknowledged && before(at, acknowledged)))
            return true;
    }
    return false;
}

static void judge_checkpoint(const key_history *key, const event *told)
{
    bool inserted =
        told->attempt == 1 && told->answer == ANSWER_NEW && judge_is_first_begin(key, told);
    if (*told->given && (inserted || !was_left(key, told, NULL))) {
        verdict_note(key, VIOLATION_CHECKPOINT_FROM_NOWHERE, told, NULL);
        return;
    }
    for (EACH(at, key)) {
        if (at->kind == CALL_CHECKPOINT && at->answer == ANSWER_OK && before(at, told) &&
            !was_left(key, told, at) && !judge_removed_within(key, at->start, told->end)) {
            verdict_note(key, VIOLATION_CHECKPOINT_LOST, told, at);
            return;
        }
    }
}

void judge_attempts(const key_history *key)
{
    for (EACH(at, key)) {
        if (at->answer != ANSWER_NEW && at->answer != ANSWER_IN_DOUBT)
            continue;
        if (at->answer == ANSWER_NEW)
            judge_rising(key, at);
        bool is_own = at->answer == ANSWER_NEW && at->attempt > 0;
        judge_counted(key, at, is_own ? at->attempt - 1 : at->attempt);
        judge_checkpoint(key, at);
    }
}
