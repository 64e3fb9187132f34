/* SPDX-License-Identifier: MIT */
/* What a run of the simulator saw: a reader, and the program itself, check that it saw
   everything. */
#ifndef IDEM_SIMULATION_COUNTS_H
#define IDEM_SIMULATION_COUNTS_H

#include "table.h"

#include <stdio.h>

/* Between the kinds that are numbered are some that nobody has. */
#define KINDS_COUNT (IDEM__CALL_FORGET_EXPIRED + 1)
#define CODES_COUNT (IDEM_ERR_INTERNAL + 1)

#define FAULTS(X)                                                \
    X(NONE, "carried out and answered")                          \
    X(LOST_REQUEST, "request lost")                              \
    X(LOST_REPLY, "carried out, reply lost")                     \
    X(LATE, "reported as uncertain, under way until later")      \
    X(REFUSED, "refused, nothing changed")                       \
    X(REFUSED_FOR_GOOD, "refused, and repeating would not help") \
    X(FULL, "refused for want of room")

typedef enum {
#define FAULT(name, text) FAULT_##name,
    FAULTS(FAULT)
#undef FAULT
        FAULTS_COUNT
} fault;

/* Situations that the rows of the table do not tell apart. */
#define SITUATIONS(X)                                                                   \
    X(LATE_APPLIED, "a late request was carried out after its call had ended")          \
    X(LATE_WHILE_REPEATED, "a late request was carried out while its call went on")     \
    X(LATE_REFUSED, "a late request found another version, or a record")                \
    X(LATE_INSERT, "a late insert made a claim after its call had ended otherwise")     \
    X(LATE_REINSTATEMENT, "a late insert put back what its owner had ended since")      \
    X(REINSTATED, "a claim was put back that the store had lost")                       \
    X(REINSTATED_TOO_LATE, "a claim was not put back: another caller was quicker")      \
    X(OWN_REINSTATEMENT_FOUND, "a repeat found the claim that its call had put back")   \
    X(STORE_LOST_CLAIM, "the store lost a record that a caller held")                   \
    X(OWN_WRITE_FOUND, "a repeat found the call's own write, whose reply was lost")     \
    X(OWN_CLAIM_MOVED, "a call went on from a record that was changed under its token") \
    X(RACED, "a takeover came too late for its version")                                \
    X(GONE_BETWEEN, "a record was gone between two operations of a begin")              \
    X(TAKEN_AT_ONCE, "a claim was taken over in the very millisecond its lease ended")  \
    X(LIVE_TO_THE_LAST, "a claim in its last millisecond was not taken over")           \
    X(CHECKPOINT_PASSED_ON, "a takeover was given a checkpoint")                        \
    X(OUTLIVED, "a record whose retention is shorter than its lease was live")          \
    X(BATCH_CUT, "a batch's connection broke between two of its replies")               \
    X(BATCH_SAME_KEY, "a batch had two calls on one key")                               \
    X(CUT_FOR_ANOTHER, "an operation was cut off by the deadline of another call")      \
    X(OUTLASTED, "a call succeeded after the deadline of another had cut it off")       \
    X(CHANGE_ABANDONED, "a caller left at its deadline, its change in flight")          \
    X(READ_ABANDONED, "a caller left at its deadline, its read in flight")              \
    X(STAYED, "a call succeeded in a batch that another had left")                      \
    X(OVERTAKEN, "two operations of a batch on one key changed their order")            \
    X(SILENT, "a connection was given up after silence, with answers on it")            \
    X(SILENT_FOR_MANY, "the same, with several callers' batches on it")                 \
    X(BETWEEN_STEPS, "other operations came between two of a submitted call")           \
    X(CANCELLED_UNSENT, "a submitted call was cancelled before it sent anything")       \
    X(CANCELLED_BETWEEN, "a submitted call was cancelled between two steps")            \
    X(CANCELLED_IN_DOUBT, "a submitted call was cancelled, its change in doubt")        \
    X(KEPT_RENEWED, "the keepalive renewed a claim")                                    \
    X(KEPT_OWN_END, "a renewal met its owner's own end, which was in doubt")            \
    X(KEPT_ENDING, "a renewal was refused while its owner's end was under way")         \
    X(KEPT_OUTDATED, "a renewal's answer was older than its owner's last call")         \
    X(KEPT_LOST, "the keepalive told an owner that its claim is lost")                  \
    X(CRASH_HOLDING, "a caller crashed while it held a claim")                          \
    X(CRASH_IN_CALL, "a caller crashed in the middle of a call")                        \
    X(TOKEN_SHARED, "two callers used one token")                                       \
    X(GAVE_UP, "the deadline ended a call")

typedef enum {
#define SITUATION(name, text) SAW_##name,
    SITUATIONS(SITUATION)
#undef SITUATION
        SITUATIONS_COUNT
} situation;

typedef struct {
    uint64_t histories;
    uint64_t steps;
    uint64_t calls[KINDS_COUNT];
    uint64_t codes[KINDS_COUNT][CODES_COUNT]; /* how they ended */
    uint64_t rows[ROWS_COUNT];
    uint64_t faults[FAULTS_COUNT];
    uint64_t situations[SITUATIONS_COUNT];
} counts;

const char *counts_kind_text(idem__call_kind kind);

/** Prints all figures. */
void counts_print(const counts *seen, FILE *to);

/** Says what never happened. @return how many such things there are */
unsigned counts_missing(const counts *seen, FILE *to);

#endif
