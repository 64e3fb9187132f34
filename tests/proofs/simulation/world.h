/* SPDX-License-Identifier: MIT */
/*
 * The simulated world: a store, its clock, callers, and requests that are still under way. All
 * that happens is decided by the words of a history's steps; so a history can be run again, and
 * be made shorter step by step.
 */
#ifndef IDEM_SIMULATION_WORLD_H
#define IDEM_SIMULATION_WORLD_H

#include "claim.h"
#include "counts.h"

#define CALLERS_MAX 6u
#define BATCH_CALLS 4u
#define TASKS_COUNT (BATCH_CALLS + GROUND_KEYS) /* a renewal for each key, too */
#define STRAYS_MAX  16u
#define MOMENTS_MAX 48u
#define STEP_WORDS  16u

typedef struct {
    uint16_t word[STEP_WORDS];
} step;

/* What can be found broken. */
#define BREACHES(X)                                                                        \
    X(ONE_CLAIM, "guarantee 1: at most one live claim")                                    \
    X(RESPONSE_STAYS, "guarantee 2: the response stays, and is given to everybody")        \
    X(OWNER_ONLY, "guarantee 3: who was taken over can't change the record")               \
    X(TAKEOVER_TOLD, "guarantee 4: who takes over is told the attempt and checkpoint")     \
    X(NOT_LOCKED_OUT, "guarantee 5: calls may be repeated, nobody locks himself out")      \
    X(HONEST_ERROR, "guarantee 6: never New without a claim, and errors tell the truth")   \
    X(GARBAGE_STAYS, "guarantee 8: garbage is an error and is left as it is")              \
    X(FRESH_VERSION, "every write has a version of its own")                               \
    X(KEEPALIVE, "the keepalive: an owner's own end is no loss, and its last call counts") \
    X(TABLE, "the table of the state machine")                                             \
    X(ENDLESS, "a call ends when nothing disturbs it")

typedef enum {
    BREACH_NONE,
#define BREACH(name, text) BREACH_##name,
    BREACHES(BREACH)
#undef BREACH
} breach;

/* One moment at which an operation of a call was carried out, and what the table says about it. */
typedef struct {
    verdict verdict;
    ground_record before;
    bool applied;
} moment;

/* What goes along with a request: who asks for what, and the stamp. */
typedef struct {
    question asked;
    uint64_t serial; /* of the call */
    uint64_t version;
    int64_t wall_ms;
} letter;

/* One call and what is known about it. */
typedef struct task task;
struct task {
    idem__call call;
    letter letter;
    size_t key;
    char name[2];             /* the key's bytes */
    idem_claim *claim;        /* what it changes */
    idem__claim_bytes *bytes; /* of its record, as the call knows it */
    bool answered;            /* a renewal that is done, and not taken in yet */
    bool renewal;             /* the keepalive's */
    uint32_t generation;      /* of the claim, when the renewal was taken */
    moment moments[MOMENTS_MAX];
    size_t moments_count;
    fault fault;         /* of the last operation */
    bool doubted;        /* a change was answered with "uncertain" */
    bool given_up;       /* its deadline ended it */
    bool cut_off;        /* another's deadline cut its operation off */
    bool pausing;        /* submitted: its operation failed, and is repeated */
    uint64_t sent_at;    /* submitted: the number of its last operation; 0: none */
    ground_record known; /* of its claim, before the last answer */
    bool stayed;         /* another has left its batch */
    bool left_behind;    /* its caller has left, and its last operation is abandoned */
    task *overtook;      /* of its batch, asked before and carried out after it, on the same key */
    uint64_t deadline_ms;
    bool running;
};

typedef enum { IDLE, SENDING, PAUSING } phase;

typedef struct {
    size_t number;
    phase phase;
    bool submitted;          /* its calls are, and go one by one */
    task tasks[TASKS_COUNT]; /* its calls, and behind them the renewals of its claims */
    task *left[BATCH_CALLS]; /* calls that are not done; those that pause stand in front */
    size_t left_count;
    size_t paused;
    task *batch[BATCH_CALLS]; /* what is being sent: reads, then writes */
    size_t batch_count;
    size_t sent;
    bool broken;     /* the connection broke within this batch */
    uint64_t cut_ms; /* the earliest deadline of the batch */
    unsigned rounds;
    int64_t wall_skew_ms; /* its own clock is wrong by so much */
    idem_claim *claims[GROUND_KEYS];
    bool knows[GROUND_KEYS]; /* remembers a token for the key */
    uint8_t tokens[GROUND_KEYS][IDEM_TOKEN_SIZE];
    short_text responses[GROUND_KEYS];
} caller;

/* A request that arrives after its caller was told that its fate is uncertain. */
typedef struct {
    ground_request request;
    letter letter;
    size_t caller;
    bool wipes; /* it removes what had no version that could be named */
    bool ended; /* its call has */
    int code;   /* and told its caller this */
} stray;

/* The last complete of a key that was carried out. */
typedef struct {
    uint64_t version;
    size_t caller;
} owner_end;

/* How a store is played with. */
typedef struct {
    bool reuse_stamps; /* break the driver's rule: a repeat keeps its version */
    bool blind;        /* leave versions unjudged, so that only their consequences are found */
    /* break the driver's handling of a batch */
    bool swap_answers;    /* two calls get each other's */
    bool error_for_all;   /* the first error of a batch stands for all answers */
    bool deadline_of_all; /* the earliest deadline ends every call */
    bool keep_own_end;    /* break the keepalive: an owner's own end counts as a loss */
    bool keep_outdated;   /* the same: an answer older than the owner's last call is taken */
    bool silence_refuses; /* what is in flight at the silence is taken for refused */
    bool send_cancelled;  /* a cancelled call's operation is sent all the same */
    bool leaver_untold;   /* an abandoned change is taken for one that was never carried out */
    bool answer_in_order; /* answers are given out in the order asked, not in that carried out */
    FILE *trace;          /* tell every step */
} rules;

typedef struct {
    ground truth;
    ground model; /* what the table says has to be there */
    caller callers[CALLERS_MAX];
    size_t callers_count;
    size_t keys_count;
    size_t batch_max;
    bool read_first;
    bool keeps; /* claims are kept alive */
    owner_end completed[GROUND_KEYS];
    bool falls_silent; /* connections are given up after silence */
    bool leaves;       /* a deadline abandons one operation; else it breaks the batch */
    bool any_order;    /* a batch is carried out in any order; else reads, then writes, as asked */
    bool outsiders;
    bool loses; /* records, as a store does that restarts without persistence */
    unsigned fault_rate[FAULTS_COUNT]; /* in a thousand */
    bool calm;                         /* no faults, no deadlines: everything has to end well */
    stray strays[STRAYS_MAX];
    size_t strays_count;
    uint64_t operations; /* sent so far */
    uint64_t serial;
    uint64_t versions;
    unsigned tokens;
    unsigned texts;
    size_t at_step;
    rules rules;
    counts *counts;
    breach breach;
    char finding[512];
} world;

/** Runs a history: its first step says what world it is. False if something was found broken. */
bool world_run(world *made, const step *steps, size_t count);

/** Says that something is broken, unless something was before. */
void world_breach(world *made, breach what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Tells what happens, where somebody listens. */
void world_say(const world *made, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *world_breach_text(breach what);

/** A token's short name: its number. */
unsigned world_token_number(const uint8_t token[IDEM_TOKEN_SIZE]);

/** A record in a few words. */
const char *world_record_text(const ground_record *record, char buf[160]);

/* ------------------------------------------------------------------- oracle.c: what is right */

/** Takes note of an operation that the store carried out; `running` is its call, if that goes
 *  on. */
void oracle_op(world *made, task *running, const letter *from, const ground_request *request,
               const ground_reply *reply);

/** Judges how a call ended. */
void oracle_end(world *made, const task *ended);

/** Compares the store with what has to be there. */
void oracle_compare(world *made);

/* -------------------------------------------------------------- callers.c: what callers do */

/** Lets a caller start calls, send an operation, or take its pause. */
void caller_step(world *made, caller *who, const step *now);

/** Makes a call blank. */
void caller_blank_task(world *made, task *one, idem__call_kind kind, size_t key);

/** Puts a task's question to the protocol. */
void caller_put_question(const world *made, task *one);

/** Ends a caller's process: what it knew is gone, but perhaps its tokens. */
void caller_crash(world *made, caller *who, bool keeps_tokens);

/** Takes in what a call that ended made of the caller's claims. */
void caller_settle(world *made, caller *who, task *ended);

/* ----------------------------------------------------------- sending.c: in drive.c's place */

/** Starts the calls that `left` lists. */
void sending_start(world *made, caller *who);

/** Sends the next operation of the batch, and takes in all answers after the last. */
void sending_step(world *made, caller *who, const step *now);

/** Ends the pause: repeat, or give up. */
void sending_pause(world *made, caller *who, const step *now);

/** Sends one operation by itself, and takes its answer. */
idem__step sending_alone(world *made, caller *who, task *one, const step *now);

/** Takes in the end of a call. */
void sending_end(world *made, caller *who, task *one);

/* ------------------------------------------- submitted.c: in async_queue.c's and loop.c's place */

/** Lets one of the calls take one step, or cancels it. */
void submitted_step(world *made, caller *who, const step *now);

/** Sends a call's operation, and takes its answer at once. True if the call is done. */
bool submitted_go(world *made, caller *who, task *one, const step *now);

/** Ends a call whose deadline has come. */
void submitted_end_late(world *made, task *one);

/* ------------------------------------------------------------ keeper.c: in keepalive.c's place */

/** Starts a renewal of a kept claim, or takes it a step on. False if there is nothing to do. */
bool keeper_step(world *made, caller *who, size_t key, const step *now);

/** Takes in what came of a renewal. */
void keeper_settle(world *made, const caller *who, const task *done);

/* ------------------------------------------------------ late.c: what a connection leaves behind */

/** Carries out a request that was under way for long. */
void sending_arrive(world *made, size_t index);

/** Remembers whose complete it was that a key's record comes from. */
void sending_note_complete(world *made, size_t number, const letter *from,
                           const ground_request *request, const ground_reply *reply);

/** Gives up a connection, which several callers' batches share: no answer is taken any more. */
void sending_silence(world *made, size_t connection);

/** An operation in words. */
const char *sending_op_text(const ground_request *request, uint64_t version, char buf[96]);

#endif
