/* SPDX-License-Identifier: MIT */
/*
 * Guarantee 3, by who can have held the key. A caller holds it from a begin of its own on, without a
 * gap, for as long as its calls succeed: whatever lies between that begin and the call and shows that
 * the key was not this caller's, proves that a claim was used after it was lost. The same question
 * tells which releases can have removed a record, and so whether one may be gone.
 */
#include "judge.h"

/* `at` lies after the begin and before the call, and shows that the key was not the caller's. */
static bool shows_loss(const event *at, const event *call)
{
    if (!same_caller(at, call))
        return proves_hold(at);
    switch (at->answer) {
    case ANSWER_LOST:
    case ANSWER_NOT_FOUND:
    case ANSWER_IN_PROGRESS:
    case ANSWER_IN_DOUBT:
        return true;
    case ANSWER_OK:
        /* A completed record is not its owner's to release; to complete it again is fine. */
        return at->kind == CALL_RELEASE ||
               (at->kind == CALL_COMPLETE && call->kind == CALL_RELEASE);
    default:
        return false;
    }
}

static const event *loss_between(const key_history *key, const event *begin, const event *call)
{
    for (EACH(at, key)) {
        if (before(begin, at) && before(at, call) && shows_loss(at, call))
            return at;
    }
    return NULL;
}

standing judge_standing(const key_history *key, const event *call, const event **proof)
{
    standing found = STANDING_NONE;
    for (EACH(begin, key)) {
        if (!may_claim(begin) || !same_caller(begin, call) || begin->start > call->end)
            continue;
        const event *loss = loss_between(key, begin, call);
        if (!loss)
            return STANDING_HELD;
        found = STANDING_LOST;
        *proof = loss;
    }
    return found;
}

bool judge_may_remove(const key_history *key, const event *at)
{
    const event *proof = NULL;
    return at->kind == CALL_RELEASE && may_be_done(at) &&
           judge_standing(key, at, &proof) == STANDING_HELD;
}

bool judge_removed_within(const key_history *key, uint64_t from, uint64_t to)
{
    for (EACH(at, key)) {
        if (at->kind == CALL_RELEASE && at->start <= to && at->end >= from &&
            judge_may_remove(key, at))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------ calls that succeeded */

static void judge_success(const key_history *key, const event *call)
{
    const event *proof = NULL;
    switch (judge_standing(key, call, &proof)) {
    case STANDING_NONE:
        verdict_note(key, VIOLATION_OK_WITHOUT_CLAIM, call, NULL);
        break;
    case STANDING_LOST:
        verdict_note(key, VIOLATION_OK_AFTER_LOSS, call, proof);
        break;
    case STANDING_HELD:
        break;
    }
}

/* ------------------------------------------------------------------------- calls that were refused */

/* Since the caller's last claim that is known, or ever. */
static uint64_t held_since(const key_history *key, const event *call)
{
    uint64_t since = 0;
    for (EACH(at, key)) {
        if (at->answer == ANSWER_NEW && same_caller(at, call) && at->end < call->start)
            since = at->start;
    }
    return since;
}

static bool somebody_took_it(const key_history *key, const event *call)
{
    for (EACH(at, key)) {
        if (at->start > call->end)
            continue;
        if (!same_caller(at, call) && may_claim(at))
            return true;
        if (same_caller(at, call) && at != call && at->kind == CALL_COMPLETE && may_be_done(at))
            return true;
    }
    return false;
}

/* -------------------------------------------------------------------------------- in progress */

static bool is_kept_alive(const key_history *key, const event *by)
{
    for (EACH(at, key)) {
        if (at->kind == CALL_BEGIN && at->keepalive && same_caller(at, by))
            return true;
    }
    return false;
}

static uint64_t longest_lease(const key_history *key, const event *by)
{
    uint64_t longest = 0;
    for (EACH(at, key)) {
        if (same_caller(at, by) && at->lease > longest)
            longest = at->lease;
    }
    return longest;
}

/* `at` may have given a lease that is live when `begin` looks. */
static bool may_be_live(const key_history *key, const event *at, const event *begin)
{
    bool gives = at->kind == CALL_BEGIN || at->kind == CALL_RENEW || at->kind == CALL_CHECKPOINT;
    if (!gives || !may_be_done(at) || same_caller(at, begin) || at->start > begin->end)
        return false;
    return at->end == FOREVER || is_kept_alive(key, at) ||
           at->end + longest_lease(key, at) + key->grain >= begin->start;
}

static void judge_in_progress(const key_history *key, const event *begin)
{
    for (EACH(at, key)) {
        if (may_be_live(key, at, begin))
            return;
    }
    verdict_note(key, VIOLATION_HELD_BY_NOBODY, begin, NULL);
}

void judge_claims(const key_history *key)
{
    for (EACH(at, key)) {
        if (at->answer == ANSWER_OTHER_ERROR)
            verdict_note(key, VIOLATION_UNEXPECTED_ERROR, at, NULL);
        else if (at->kind == CALL_BEGIN && at->answer == ANSWER_IN_PROGRESS)
            judge_in_progress(key, at);
        else if (at->kind != CALL_BEGIN && proves_hold(at))
            judge_success(key, at);
        else if (at->answer == ANSWER_LOST && !somebody_took_it(key, at))
            verdict_note(key, VIOLATION_LOST_TO_NOBODY, at, NULL);
        else if (at->answer == ANSWER_NOT_FOUND &&
                 !judge_removed_within(key, held_since(key, at), at->end))
            verdict_note(key, VIOLATION_VANISHED, at, NULL);
    }
}
