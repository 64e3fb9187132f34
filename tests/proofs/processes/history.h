/* SPDX-License-Identifier: MIT */
/*
 * What the processes of a run wrote down, as the checker reads it. Text, a line for each thing that
 * happened, times in microseconds of one clock:
 *
 *   process 3                                            the lines that follow are this process's
 *   1000 begin k0.7 TOKEN lease=150 wait=0 flags=nk      a call, before it is made
 *   1250 new attempt=1 checkpoint=TEXT                   its answer
 *   1300 effect k0.7 TOKEN attempt=1                     the work of that claim, as the ledger has it
 *   # …                                                  a remark
 *
 * Calls: begin, complete (text=), renew (lease=), checkpoint (text=), release. Flags: n for
 * IDEM_NO_TAKEOVER, k for IDEM_KEEPALIVE. Answers: new, in_progress, completed (response=), in_doubt
 * (attempt=, checkpoint=), ok, error (code=). Texts are written with %XX for blanks, `%` and what is
 * not ASCII. A process makes one call at a time, so an answer belongs to the call before it.
 *
 * A process that is killed may leave a call without an answer, and a file without its last line
 * break: what stands behind the last line break is dropped.
 */
#ifndef IDEM_TESTS_HISTORY_H
#define IDEM_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** The end of what has no known end. */
#define FOREVER UINT64_MAX

typedef enum {
    CALL_BEGIN = 1,
    CALL_COMPLETE,
    CALL_RENEW,
    CALL_CHECKPOINT,
    CALL_RELEASE,
    THE_EFFECT
} event_kind;

typedef enum {
    ANSWER_OPEN = 0, /* none: the caller was killed */
    ANSWER_NEW,
    ANSWER_IN_PROGRESS,
    ANSWER_COMPLETED,
    ANSWER_IN_DOUBT,
    ANSWER_OK,
    ANSWER_LOST,
    ANSWER_NOT_FOUND,
    ANSWER_UNAVAILABLE,
    ANSWER_UNCERTAIN,
    ANSWER_OTHER_ERROR,
    ANSWERS
} answer_kind;

/** A call with its answer, or an effect. Texts are borrowed from the history; never NULL. */
typedef struct {
    event_kind kind;
    answer_kind answer;
    const char *key;
    const char *token;
    const char *sent;  /* complete, checkpoint */
    const char *given; /* completed: the response; new, in doubt: the checkpoint */
    uint64_t start;
    uint64_t end;   /* FOREVER: no answer, or one that leaves open whether and when it happened */
    uint64_t lease; /* begin, renew */
    unsigned attempt;
    int code;
    unsigned process;
    bool no_takeover;
    bool keepalive;
} event;

typedef struct {
    event *events;
    size_t count;
    size_t capacity;
    char **files;
    size_t file_count;
    size_t process_count;
    size_t torn_count;
} history;

/** Reads one file into the history. On failure says why on `problems` and returns false. */
bool history_read(history *self, const char *path, FILE *problems);

/** Sorts the events by key, and those of a key by their start. */
void history_sort(history *self);

void history_clear(history *self);

const char *history_call_name(event_kind kind);
const char *history_answer_name(answer_kind answer);

#endif
