/* SPDX-License-Identifier: MIT */
/*
 * The ledger: each effect was booked under a claim that its caller had been given and had not yet
 * completed or released, once; and what was completed has been done.
 */
#include "judge.h"

static bool same_claim(const event *a, const event *b)
{
    return same_caller(a, b) && a->attempt == b->attempt;
}

static bool ended_between(const key_history *key, const event *claim, const event *effect)
{
    for (EACH(at, key)) {
        if ((at->kind == CALL_COMPLETE || at->kind == CALL_RELEASE) && same_caller(at, claim) &&
            before(claim, at) && at->start < effect->start)
            return true;
    }
    return false;
}

static bool has_claim(const key_history *key, const event *effect)
{
    for (EACH(at, key)) {
        if (at->answer == ANSWER_NEW && same_claim(at, effect) && at->end <= effect->start &&
            !ended_between(key, at, effect))
            return true;
    }
    return false;
}

static void judge_effect(const key_history *key, const event *effect)
{
    if (!has_claim(key, effect))
        verdict_note(key, VIOLATION_EFFECT_WITHOUT_CLAIM, effect, NULL);
    for (EACH(at, key)) {
        if (at < effect && at->kind == THE_EFFECT && same_claim(at, effect))
            verdict_note(key, VIOLATION_EFFECT_TWICE, effect, at);
    }
}

static void judge_work(const key_history *key, const event *complete)
{
    for (EACH(at, key)) {
        if (at->kind == THE_EFFECT && same_caller(at, complete) && at->start <= complete->start)
            return;
    }
    verdict_note(key, VIOLATION_COMPLETE_WITHOUT_EFFECT, complete, NULL);
}

void judge_effects(const key_history *key)
{
    for (EACH(at, key)) {
        if (at->kind == THE_EFFECT)
            judge_effect(key, at);
        else if (at->kind == CALL_COMPLETE && at->answer == ANSWER_OK)
            judge_work(key, at);
    }
}
