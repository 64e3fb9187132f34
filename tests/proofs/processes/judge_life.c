/* SPDX-License-Identifier: MIT */
/*
 * Guarantee 1, by what is certainly live. A lease that a call gave began between the call's start and
 * its end; so the claim is live at least from the end of that call until its start plus the lease, or
 * until its own caller sets out to end or to shorten it. What can't be true of a key with a live claim
 * must not be answered by a call that lies wholly within.
 */
#include "judge.h"

bool judge_is_first_begin(const key_history *key, const event *begin)
{
    for (EACH(at, key)) {
        if (at != begin && at->kind == CALL_BEGIN && same_caller(at, begin) &&
            at->start <= begin->start)
            return false;
    }
    return true;
}

/* The least lease that a claim of this caller's can have: what a checkpoint starts anew. */
static uint64_t least_lease(const key_history *key, const event *checkpoint)
{
    uint64_t least = FOREVER;
    for (EACH(at, key)) {
        if (same_caller(at, checkpoint) && at->lease > 0 && at->lease < least &&
            at->start < checkpoint->start)
            least = at->lease;
    }
    return least == FOREVER ? 0 : least;
}

/* A begin that is answered "new" has given a lease only if it is this caller's first: one that begins
   again as the same caller finds its claim as it is. */
static uint64_t lease_given(const key_history *key, const event *at)
{
    if (!proves_hold(at))
        return 0;
    if (at->kind == CALL_BEGIN)
        return judge_is_first_begin(key, at) ? at->lease : 0;
    if (at->kind == CALL_RENEW)
        return at->lease;
    return at->kind == CALL_CHECKPOINT ? least_lease(key, at) : 0;
}

/* Until when the claim that `giver` gave a lease to is certainly live. */
static uint64_t certain_end(const key_history *key, const event *giver, uint64_t lease)
{
    uint64_t end = lease > key->grain ? giver->start + lease - key->grain : 0;
    for (EACH(at, key)) {
        bool ends = at->kind == CALL_COMPLETE || at->kind == CALL_RELEASE || at->kind == CALL_RENEW;
        if (ends && same_caller(at, giver) && at->start >= giver->end && at->start < end)
            end = at->start;
    }
    return end;
}

static void judge_own(const key_history *key, const event *giver, const event *at)
{
    if (at->answer == ANSWER_LOST || at->answer == ANSWER_NOT_FOUND ||
        (at->kind == CALL_BEGIN && at->answer != ANSWER_NEW && at->answer != ANSWER_UNAVAILABLE &&
         at->answer != ANSWER_OTHER_ERROR))
        verdict_note(key, VIOLATION_OWNER_TURNED_AWAY, at, giver);
}

static void judge_within(const key_history *key, const event *giver, const event *at)
{
    if (same_caller(at, giver))
        judge_own(key, giver, at);
    else if (proves_hold(at))
        verdict_note(key, VIOLATION_TWO_LIVE, at, giver);
    else if (at->answer == ANSWER_IN_DOUBT)
        verdict_note(key, VIOLATION_DOUBT_WHILE_LIVE, at, giver);
    else if (at->answer == ANSWER_COMPLETED)
        verdict_note(key, VIOLATION_COMPLETED_WHILE_LIVE, at, giver);
    else if (at->answer == ANSWER_NOT_FOUND)
        verdict_note(key, VIOLATION_VANISHED, at, giver);
}

static void judge_no_takeover(const key_history *key)
{
    for (EACH(at, key)) {
        if (at->answer == ANSWER_NEW && at->no_takeover && at->attempt > 1 &&
            judge_is_first_begin(key, at))
            verdict_note(key, VIOLATION_TAKEN_UNASKED, at, NULL);
    }
}

void judge_life(const key_history *key)
{
    for (EACH(giver, key)) {
        uint64_t lease = lease_given(key, giver);
        uint64_t end = lease ? certain_end(key, giver, lease) : 0;
        for (EACH(at, key)) {
            if (at->kind != THE_EFFECT && at->start > giver->end && at->end < end)
                judge_within(key, giver, at);
        }
    }
    judge_no_takeover(key);
}
