/* SPDX-License-Identifier: MIT */
/* The rules, and what they share: which events prove or allow what. The reasons are in checker.c. */
#ifndef IDEM_TESTS_JUDGE_H
#define IDEM_TESTS_JUDGE_H

#include "verdict.h"

#include <string.h>

/** Runs over all events of a key. */
#define EACH(at, key)                  \
    const event *at = (key)->events;   \
    at < (key)->events + (key)->count; \
    at++

static inline bool same_caller(const event *a, const event *b)
{
    return strcmp(a->token, b->token) == 0;
}

/** The call was made, and what it asked for may have been done, at any time in [start, end]. */
static inline bool may_be_done(const event *at)
{
    return at->answer == ANSWER_OK || at->answer == ANSWER_NEW || at->answer == ANSWER_OPEN ||
           at->answer == ANSWER_UNCERTAIN;
}

/** A begin that has, or may have, made a claim. */
static inline bool may_claim(const event *at)
{
    return at->kind == CALL_BEGIN && may_be_done(at);
}

/** Its caller held the key at a moment in [start, end]. */
static inline bool proves_hold(const event *at)
{
    return at->answer == ANSWER_NEW ||
           (at->answer == ANSWER_OK &&
            (at->kind == CALL_COMPLETE || at->kind == CALL_RENEW || at->kind == CALL_CHECKPOINT));
}

/** a ended before b began. */
static inline bool before(const event *a, const event *b)
{
    return a->end < b->start;
}

/** The first begin of its caller's on this key. */
bool judge_is_first_begin(const key_history *key, const event *begin);

/** How the caller of a call on a claim stood to the key. */
typedef enum { STANDING_NONE, STANDING_LOST, STANDING_HELD } standing;

/** @param[out] proof  STANDING_LOST: what shows it */
standing judge_standing(const key_history *key, const event *call, const event **proof);

/** A release that may have removed the record. */
bool judge_may_remove(const key_history *key, const event *at);

/** True if the record may have been removed within [from, to]. */
bool judge_removed_within(const key_history *key, uint64_t from, uint64_t to);

void judge_life(const key_history *key);       /* what is certainly live */
void judge_claims(const key_history *key);     /* who held, and lost */
void judge_attempts(const key_history *key);   /* attempts and checkpoints */
void judge_completion(const key_history *key); /* responses */
void judge_effects(const key_history *key);    /* the ledger */

#endif
