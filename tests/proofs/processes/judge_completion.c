/* SPDX-License-Identifier: MIT */
/*
 * Guarantee 2. Nothing here forgets a key, and retention outlasts every run: so a key that is once
 * known to be completed stays so, with one response, which a complete has sent.
 */
#include "judge.h"

/* The earliest event that shows the key completed; NULL: none. */
static const event *first_proof(const key_history *key)
{
    const event *first = NULL;
    for (EACH(at, key)) {
        bool proves = at->answer == ANSWER_COMPLETED ||
                      (at->kind == CALL_COMPLETE && at->answer == ANSWER_OK);
        if (proves && (!first || at->end < first->end))
            first = at;
    }
    return first;
}

/* Sent before `told` ended, by a complete that was not refused. */
static bool was_sent(const key_history *key, const event *told)
{
    for (EACH(at, key)) {
        if (at->kind == CALL_COMPLETE && may_be_done(at) && at->start <= told->end &&
            strcmp(at->sent, told->given) == 0)
            return true;
    }
    return false;
}

static void judge_response(const key_history *key, const event *told, const event *first_told)
{
    if (strcmp(told->given, first_told->given) != 0)
        verdict_note(key, VIOLATION_TWO_RESPONSES, told, first_told);
    if (!was_sent(key, told)) {
        verdict_note(key, VIOLATION_RESPONSE_FROM_NOWHERE, told, NULL);
        return;
    }
    for (EACH(at, key)) {
        if (at->kind == CALL_COMPLETE && at->answer == ANSWER_OK &&
            strcmp(at->sent, told->given) != 0) {
            verdict_note(key, VIOLATION_OTHER_RESPONSE, told, at);
            return;
        }
    }
}

/* `at` began when the key was completed already, as `proof` shows. */
static void judge_after(const key_history *key, const event *at, const event *proof)
{
    if (at->answer == ANSWER_NEW || at->answer == ANSWER_IN_PROGRESS ||
        at->answer == ANSWER_IN_DOUBT)
        verdict_note(key, VIOLATION_NOT_REPLAYED, at, proof);
    else if (at->answer == ANSWER_OK && (at->kind == CALL_RENEW || at->kind == CALL_CHECKPOINT))
        verdict_note(key, VIOLATION_CHANGED_AFTER_COMPLETE, at, proof);
    else if (at->answer == ANSWER_NOT_FOUND)
        verdict_note(key, VIOLATION_VANISHED, at, proof);
}

static void judge_single(const key_history *key)
{
    const event *first = NULL;
    for (EACH(at, key)) {
        if (at->kind != CALL_COMPLETE || at->answer != ANSWER_OK)
            continue;
        if (first && !same_caller(first, at))
            verdict_note(key, VIOLATION_TWO_COMPLETES, at, first);
        first = first ? first : at;
    }
}

void judge_completion(const key_history *key)
{
    const event *proof = first_proof(key);
    const event *told = NULL;
    for (EACH(at, key)) {
        if (proof && before(proof, at))
            judge_after(key, at, proof);
        if (at->answer != ANSWER_COMPLETED)
            continue;
        told = told ? told : at;
        judge_response(key, at, told);
    }
    judge_single(key);
}
