/* SPDX-License-Identifier: MIT */
/*
 * The table of the state machine, read as a specification: what a call does to a record and what
 * it is told, if it takes place at one moment, at once. No operations, no versions, no repeats.
 */
#ifndef IDEM_SIMULATION_TABLE_H
#define IDEM_SIMULATION_TABLE_H

#include "ground.h"
#include "protocol.h"

/* The rows, and what a report calls them. */
#define TABLE_ROWS(X)                                                                \
    X(BEGIN_ABSENT, "begin, absent: New, attempt 1")                                 \
    X(BEGIN_OWN, "begin, my own claim, lease live: New, same attempt")               \
    X(BEGIN_OWN_EXPIRED, "begin, my own claim, lease expired: New, the lease anew")  \
    X(BEGIN_LIVE, "begin, lease live: InProgress, time left")                        \
    X(BEGIN_EXPIRED, "begin, lease expired: New, attempt + 1, checkpoint")           \
    X(BEGIN_IN_DOUBT, "begin, lease expired, no takeover: InDoubt")                  \
    X(BEGIN_COMPLETED, "begin, completed: Completed, response")                      \
    X(BEGIN_MISMATCH, "begin, fingerprints differ: Mismatch")                        \
    X(BEGIN_OLDER, "begin, a record without token: InProgress until it is gone")     \
    X(COMPLETE_OWN, "complete, mine, lease live: ok")                                \
    X(COMPLETE_OWN_EXPIRED, "complete, mine, lease expired, not taken over: ok")     \
    X(COMPLETE_AGAIN, "complete, completed under my token: ok")                      \
    X(COMPLETE_LOST, "complete, another token: lost")                                \
    X(COMPLETE_ABSENT, "complete, absent: not found")                                \
    X(COMPLETE_REINSTATED, "complete, absent, asked to reinstate: ok, inserted")     \
    X(RENEW_OWN, "renew, mine: ok")                                                  \
    X(RENEW_LOST, "renew, another token or completed: lost")                         \
    X(RENEW_ABSENT, "renew, absent: not found")                                      \
    X(RENEW_REINSTATED, "renew, absent, asked to reinstate: ok, inserted")           \
    X(CHECKPOINT_OWN, "checkpoint, mine: ok")                                        \
    X(CHECKPOINT_LOST, "checkpoint, another token or completed: lost")               \
    X(CHECKPOINT_ABSENT, "checkpoint, absent: not found")                            \
    X(CHECKPOINT_REINSTATED, "checkpoint, absent, asked to reinstate: ok, inserted") \
    X(RELEASE_OWN, "release, mine: ok, absent")                                      \
    X(RELEASE_OTHER, "release, not mine to release: ok, unchanged")                  \
    X(RESUME_OWN, "resume, in progress under that token: the claim")                 \
    X(RESUME_COMPLETED, "resume, completed under that token: the claim, to look at") \
    X(RESUME_LOST, "resume, another token: lost")                                    \
    X(RESUME_ABSENT, "resume, absent: not found")                                    \
    X(GET_THERE, "get: the record")                                                  \
    X(GET_ABSENT, "get, absent: not found")                                          \
    X(FORGET_THERE, "forget, any record: ok, absent")                                \
    X(FORGET_ABSENT, "forget, absent: ok")                                           \
    X(FORGET_GARBAGE, "forget by force, garbage: ok, absent")                        \
    X(FORGET_EXPIRED, "forget only if expired, lease expired: ok, absent")           \
    X(FORGET_EXPIRED_LIVE, "forget only if expired, lease live: lost")               \
    X(FORGET_EXPIRED_OLDER, "forget only if expired, no token: lost")                \
    X(FORGET_EXPIRED_COMPLETED, "forget only if expired, completed: lost")           \
    X(FORGET_EXPIRED_ABSENT, "forget only if expired, absent: ok")                   \
    X(SETTLE_EXPIRED, "settle, lease expired: ok, completed under a fresh token")    \
    X(SETTLE_AGAIN, "settle, settled by this very call: ok")                         \
    X(SETTLE_LIVE, "settle, lease live: lost")                                       \
    X(SETTLE_OLDER, "settle, in progress without token: lost")                       \
    X(SETTLE_COMPLETED, "settle, completed: lost")                                   \
    X(SETTLE_ABSENT, "settle, absent: not found")                                    \
    X(ANY_SEALED, "a change, rewritten by hand: corrupt, unchanged")                 \
    X(ANY_GARBAGE, "any other call, garbage: corrupt, unchanged")

typedef enum {
#define TABLE_ROW(name, text) ROW_##name,
    TABLE_ROWS(TABLE_ROW)
#undef TABLE_ROW
        ROWS_COUNT
} table_row;

/* What a caller asked. */
typedef struct {
    idem__call_kind kind;
    bool no_takeover;
    bool reinstate; /* a begin: its claim will */
    uint8_t token[IDEM_TOKEN_SIZE];
    short_text fingerprint;
    short_text text;
    uint64_t lease_ms; /* 0, on a claim: as it is; likewise the next */
    uint64_t ttl_ms;
    ground_record held; /* on a claim: the record as its caller last knew it */
} question;

/* What has to come of it. */
typedef struct {
    table_row row;
    int code;
    idem_outcome_kind outcome;
    uint64_t retry_after_ms;
    bool changes;
    ground_record after; /* if it changes; version and created_at_ms of an insert are the asker's */
} verdict;

/** The table's verdict on a question that meets `before` at this time. */
verdict table_judge(const question *asked, const ground_record *before, uint64_t now_ms);

/** How long a record lives from its last change. */
uint64_t table_live_ms(const ground_record *record);

const char *table_row_text(table_row row);

/** True if the record is of the older format, whose claims nobody can prove. */
bool table_tokenless(const ground_record *record);

#endif
