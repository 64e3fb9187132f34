/* SPDX-License-Identifier: MIT */
/*
 * The state machine of a key, as code that does no I/O and knows no clock.
 *
 * A call is started, and then says which store operation it wants (`op`). Its driver has
 * the operation stamped and carried out, and hands the result back; the call answers with what to
 * do next, until it is done. The same code serves every backend, the tests' simulator, and calls
 * that travel in a batch.
 */
#ifndef IDEM_CORE_PROTOCOL_H
#define IDEM_CORE_PROTOCOL_H

#include <idem/backend.h>

/* Numbered as ::idem_call_kind; behind its numbers stand further ways to forget. */
typedef enum {
    IDEM__CALL_BEGIN = 1,
    IDEM__CALL_COMPLETE,
    IDEM__CALL_RENEW,
    IDEM__CALL_CHECKPOINT,
    IDEM__CALL_RELEASE,
    IDEM__CALL_RESUME,
    IDEM__CALL_GET,
    IDEM__CALL_FORGET,
    IDEM__CALL_SETTLE,          /**< completes what no live owner holds */
    IDEM__CALL_FORGET_ANY = 13, /**< even what can't be read as a record */
    IDEM__CALL_FORGET_EXPIRED   /**< only what no live owner holds */
} idem__call_kind;

/** What to do with a call next. */
typedef enum {
    IDEM__STEP_DONE = 1, /**< read its answer */
    IDEM__STEP_NEXT,     /**< carry out its op */
    IDEM__STEP_AGAIN     /**< its op failed and may succeed later: pause, then go on with
                              idem__protocol_again(), or give up */
} idem__step;

/** One call on one key. Bytes are borrowed, `seen` apart. The engine's part is of no concern to the
 *  protocol. What stands in front of `next` is zero
 *  where it is not filled in; what follows is made by the protocol when it is needed. */
typedef struct idem__call idem__call;

/** What the hook is to be told of a call, once nothing is held that the hook might wait for. */
typedef struct {
    idem_event list[2]; /**< IDEM_EVENT_REINSTATED, IDEM_EVENT_CALL */
    size_t count;
    struct idem__notes *repeats; /**< where each IDEM_EVENT_RETRY is noted; NULL: it is told at
                                      once */
} idem__events;

struct idem__call {
    /* the question */
    idem__call_kind kind;
    bool no_takeover; /**< begin: report a claim whose lease ran out */
    bool read_first;  /**< begin: try a get before the insert */
    bool reinstate; /**< complete, renew, checkpoint: insert the record if the store has lost it */
    idem_bytes key;
    uint64_t first_version;         /**< of the first write, drawn with the token; 0: none is */
    uint8_t token[IDEM_TOKEN_SIZE]; /**< the caller's: begin, resume, settle; else that of `held` */
    idem_bytes fingerprint;         /**< begin */
    idem_bytes text;                /**< complete, settle: the response; checkpoint: it */
    idem_encoding encoding;         /**< complete: what the response is */
    uint64_t lease_ms;              /**< begin, renew, checkpoint */
    uint64_t ttl_ms;                /**< begin, complete, renew, checkpoint */
    uint64_t started_ns;            /**< when it began, if it is timed; else 0 */
    uint8_t context;                /**< what the backend left in the last op */
    idem_record held; /**< of a claim: its record as last known. In the answer of begin and
                                 resume, and of what changed a claim: the record as it is now */

    /* the engine's */
    uint64_t timeout_ms;
    uint64_t deadline_ms;
    uint64_t too_late_ms;   /**< with less time left it is not repeated */
    uint64_t wait_until_ms; /**< begin: a key in progress is waited for until then; 0: not at all */
    bool waits;             /**< it does: it is done, unless it looks again */
    bool counted;           /**< among those of the store that wait */
    uint64_t until_ms;      /**< when it goes on, after a step that said so */
    uint64_t pause_ms;      /**< the last pause before a repeat */
    uint64_t wait_pause_ms; /**< the last one between two looks */
    void (*done)(idem__call *call, void *user); /**< called once it is done; may be NULL */
    void *user;
    idem__events *events; /**< where its end is noted; NULL: the hook is told of it at once */

    /* the answer */
    int code;                  /**< IDEM_OK, or why the call failed: then see `error` */
    idem_outcome_kind outcome; /**< begin; its record is `seen`, or `held` if it is IDEM_NEW */
    uint64_t retry_after_ms;
    idem_record seen;  /**< what the last operation found; owned */
    bool doubt;        /**< a change was sent, and its reply was lost */
    bool reinstated;   /**< the record was lost by the store, and this call has put it back */
    unsigned rounds;   /**< operations so far */
    uint64_t inserted; /**< the version of the last insert that was sent */

    /* the operation */
    idem_record next; /**< what op stores */
    idem_op op;
    idem_error error;
};

/** Makes a call blank but for its kind and key: the rest of its question can be filled in, or it
 *  can be cleared as it is. */
static inline void idem__protocol_init(idem__call *call, idem__call_kind kind, idem_bytes key)
{
    memset(call, 0, offsetof(idem__call, next));
    call->kind = kind;
    call->key = key;
    call->op.found.memory = NULL;
    call->error.code = IDEM_OK;
    call->error.message[0] = '\0';
}

/** Begins a call that was blank and whose question is filled in: `op` is the first one. */
void idem__protocol_start(idem__call *call);

/** Stamps op with a version that was never used before, before each time it is carried out, and
 *  with the wall time for people to read. */
void idem__protocol_stamp(idem__call *call, uint64_t version, int64_t wall_ms);

/** Takes in the lower half of op. */
idem__step idem__protocol_answer(idem__call *call);

/** Goes on after IDEM__STEP_AGAIN: `op` is the one to carry out. */
void idem__protocol_again(idem__call *call);

/** Ends a call that was told IDEM__STEP_AGAIN: the deadline has come. */
void idem__protocol_give_up(idem__call *call);

/** Frees what a call owns. */
void idem__protocol_clear(idem__call *call);

#endif
