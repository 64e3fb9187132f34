/* SPDX-License-Identifier: MIT */
/* What can be wrong with a history: one table of kinds, each with its name and what it says. */
#ifndef IDEM_TESTS_VERDICT_H
#define IDEM_TESTS_VERDICT_H

#include "history.h"

/** Name, guarantee that is broken (0: one of the ground rules), meaning. */
#define VIOLATIONS(X)                                                                            \
    X(TWO_LIVE, 1, "another caller holds the key while a claim is certainly live")               \
    X(DOUBT_WHILE_LIVE, 1, "a claim is in doubt while it is certainly live")                     \
    X(OWNER_TURNED_AWAY, 1, "an owner is turned away while its claim is certainly live")         \
    X(COMPLETED_WHILE_LIVE, 1, "the key is completed by nobody while a claim is certainly live") \
    X(TAKEN_UNASKED, 1, "a caller that forbade it has taken over")                               \
    X(NOT_REPLAYED, 2, "the key is completed, and a later begin is told something else")         \
    X(TWO_RESPONSES, 2, "the key was replayed with two different responses")                     \
    X(OTHER_RESPONSE, 2, "the response replayed is not the one that was completed")              \
    X(RESPONSE_FROM_NOWHERE, 2, "the response replayed was sent by no complete before")          \
    X(TWO_COMPLETES, 2, "two callers have completed the key")                                    \
    X(CHANGED_AFTER_COMPLETE, 2, "the key is completed, and a claim on it is changed later")     \
    X(OK_AFTER_LOSS, 3, "an owner whose claim had ended or was taken over has changed it")       \
    X(OK_WITHOUT_CLAIM, 3, "a caller that never held the key has changed it")                    \
    X(VANISHED, 3, "the record is gone, and nobody who held it can have released it")            \
    X(ATTEMPT_NOT_RISING, 4, "a claim's attempt does not follow from the one before")            \
    X(ATTEMPT_FROM_NOWHERE, 4, "an attempt is counted that nobody can have made")                \
    X(CHECKPOINT_LOST, 4, "a checkpoint that was acknowledged is not handed on")                 \
    X(CHECKPOINT_FROM_NOWHERE, 4, "the checkpoint was left by no caller before")                 \
    X(LOST_TO_NOBODY, 5, "a claim is lost, and nobody can have taken it")                        \
    X(HELD_BY_NOBODY, 5, "the key is in progress, and nobody's lease can be live")               \
    X(EFFECT_WITHOUT_CLAIM, 0, "an effect is booked without its claim")                          \
    X(EFFECT_TWICE, 0, "an effect is booked twice under one claim")                              \
    X(COMPLETE_WITHOUT_EFFECT, 0, "the key is completed, and its owner has booked no effect")    \
    X(UNEXPECTED_ERROR, 0, "a call ends with an error that nothing here explains")

typedef enum {
#define VIOLATION_CODE(name, guarantee, text) VIOLATION_##name,
    VIOLATIONS(VIOLATION_CODE)
#undef VIOLATION_CODE
        VIOLATION_KINDS
} violation;

typedef struct {
    FILE *out;
    size_t found[VIOLATION_KINDS];
    size_t total;
} verdict;

/** The events of one key, by their start. */
typedef struct {
    const event *events;
    size_t count;
    uint64_t grain; /* how much earlier or later than by our stamps a lease may end */
    verdict *verdict;
} key_history;

const char *violation_name(violation kind);

/** Notes a violation: `what` shows it, together with `against` (NULL: alone). */
void verdict_note(const key_history *key, violation kind, const event *what, const event *against);

/** Prints all kinds, a line each. */
void verdict_list(FILE *out);

#endif
