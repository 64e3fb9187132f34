/* SPDX-License-Identifier: MIT */
/*
 * Trials: a call is made again and again, with the first allocation failing, the second, and so on
 * until there was none to fail. Each time it is judged what was answered and what became of the
 * key; when the handles are closed nothing may be left allocated.
 */
#ifndef IDEM_TESTS_TRIAL_H
#define IDEM_TESTS_TRIAL_H

#include "heap.h"
#include "place.h"

#include <check.h>

#define OTHER_TOKEN ((const uint8_t *)"another caller's")

/** One call with one allocation failing. */
typedef struct {
    const place *at;
    idem_store *store;   /* what is tried */
    idem_store *witness; /* another handle on the same records, or the same one where there is
                            room for one alone */
    idem_bytes key;
    uint8_t token[IDEM_TOKEN_SIZE]; /* of this trial alone */

    /* what the preparation made */
    idem_outcome held;
    idem_record before; /* the record of the key, if remember() was called */

    /* outputs of the call, filled with UNTOUCHED */
    idem_outcome made;
    idem_record record;
    idem_claim *claim;
    idem_store *opened;

    void *own; /* the subject's */
    char key_text[48];
} trial;

/** A call that is tried. */
typedef struct {
    const char *name;
    uint64_t needs;  /* IDEM_TRAIT_ bits, without which a place is passed over */
    bool changes;    /* it sends a change, whose answer may be lost for want of memory */
    bool own_handle; /* the handle itself is tried: not inside of a transaction */

    void (*prepare)(trial *t);
    int (*call)(trial *t, idem_error *error);

    /** Says what is wrong with wrong(). `rc`: IDEM_OK, IDEM_ERR_NO_MEMORY, or
     *  IDEM_ERR_UNCERTAIN. */
    void (*judge)(trial *t, int rc);
} subject;

/** Tries each subject on each place, the allocation failing once or for good, on a handle that goes
 *  on to be used and on fresh ones. */
void trial_run(const subject *subjects, size_t count);

/** Prints how much was tried. */
void trial_summary(const char *program);

/** Takes down what is wrong; the first stays. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Takes it down if something is not so. */
#define expect(condition)                                       \
    do {                                                        \
        if (!(condition))                                       \
            wrong("not so, line %d: %s", __LINE__, #condition); \
    } while (0)

/** The error of calls that are not tried, for expect_ok(). */
extern idem_error clean;

/** Takes it down if a call that is not tried, and was given &clean, fails. */
#define expect_ok(call)                                               \
    do {                                                              \
        if ((call) != IDEM_OK)                                        \
            wrong("line %d: %s: %s", __LINE__, #call, clean.message); \
    } while (0)

/** Claims the trial's key into t->held, with a checkpoint; with flags, lease and fingerprint. */
void hold(trial *t, uint64_t lease_ms, uint64_t flags);

/** Completes the trial's key. */
void hold_completed(trial *t);

/** Remembers the key's record, for is_unchanged(). */
void remember(trial *t);
bool is_unchanged(trial *t);
bool is_absent(trial *t);

/** Begins the key as somebody else, or as this trial's caller, and fails unless it is this
 *  outcome; what is claimed is completed. */
void expect_begin(trial *t, const uint8_t *token, idem_outcome_kind kind, uint32_t attempt);

/** True if an output was not written. */
#define UNTOUCHED            0xa5
#define is_untouched(output) all_untouched(&(output), sizeof(output))
bool all_untouched(const void *output, size_t size);

/** True if an outcome is blank, so that it can be cleared. */
bool is_blank(const idem_outcome *outcome);

bool is_text(idem_bytes bytes, const char *text);

#define CHECKPOINT "{\"step\":2}"
#define RESPONSE   "{\"charged\":true}"

#endif
