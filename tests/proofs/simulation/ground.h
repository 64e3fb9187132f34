/* SPDX-License-Identifier: MIT */
/*
 * The store that the simulator owns: a few keys, the four operations, one clock. What it holds is
 * the ground truth by which calls are judged.
 */
#ifndef IDEM_SIMULATION_GROUND_H
#define IDEM_SIMULATION_GROUND_H

#include <idem/backend.h>

#define GROUND_KEYS 3u
#define TEXT_SIZE   16u

/* A text that is short enough to be copied about. */
typedef struct {
    char data[TEXT_SIZE];
    size_t len;
} short_text;

typedef enum { ABSENT, IN_PROGRESS, COMPLETED, GARBAGE } ground_state;

typedef struct {
    ground_state state;
    uint8_t token[IDEM_TOKEN_SIZE];
    uint64_t version;
    uint32_t attempt;
    int64_t created_at_ms;
    uint64_t lease_ms;
    uint64_t ttl_ms;
    short_text fingerprint;
    short_text response;
    short_text checkpoint;
    uint64_t stored_ms; /* when it was written */
    uint64_t until_ms;  /* from then on it is absent */
    bool sealed;        /* rewritten by hand: it can be read, and no version of it can be named */
} ground_record;

typedef struct {
    uint64_t now_ms;
    ground_record at[GROUND_KEYS];
} ground;

/* An operation on its way: it owns all it carries, so that it can arrive after its caller has
   gone. */
typedef struct {
    idem_op_kind kind;
    bool any_version;
    size_t key;
    uint64_t expected;
    uint64_t live_ms;
    ground_record record;
} ground_request;

typedef struct {
    bool applied;
    ground_record before; /* what was there */
} ground_reply;

/** What is at a key now: ABSENT if its time is over. */
ground_record ground_look(const ground *store, size_t key);

/** Carries out one of the four operations. */
ground_reply ground_carry_out(ground *store, const ground_request *request);

/** Puts a record there, whatever was there: somebody else's doing. */
void ground_plant(ground *store, size_t key, const ground_record *record, uint64_t live_ms);

/** What a record of the protocol's says. */
ground_record ground_record_of(const idem_record *record);

/** Copies an operation out of its caller's memory. */
ground_request ground_request_of(const idem_op *op);

/** Fills in the lower half of an operation. */
void ground_answer(const ground_reply *reply, uint64_t now_ms, idem_op *op);

short_text text_of(idem_bytes bytes);
idem_bytes text_bytes(const short_text *text);
bool text_equal(const short_text *one, const short_text *other);

/** True if a record that the protocol gave back is the one in the ground; its age is not
 *  compared. */
bool ground_is(const ground_record *truth, const idem_record *given);

#endif
