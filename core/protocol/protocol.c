/* SPDX-License-Identifier: MIT */
/*
 * The state machine, written once for all backends.
 *
 * Three rules carry the guarantees. No caller is told IDEM_NEW without an insert or a replace of
 * its own that was applied, or a live record that bears its token: an absent key leads back to the
 * insert. Every change of an existing record names the version that was read, and every write that
 * is sent bears a fresh one, a repeated write included: so a claim that was renewed in between
 * can't be taken, and a stale reader never meets the same version twice. The token alone identifies
 * a caller: it is how a caller recognises its own write whose reply was lost.
 *
 * No answer of a backend makes a call spin: a refusal that contradicts itself ends it, and one that
 * needs many operations in a row has to pause.
 */
#include "protocol.h"

#include "protocol_error.h"
#include "record.h"

#define ROUNDS_MAX 32u /* operations of one call without a pause */

static void set_op(idem__call *call, idem_op_kind kind)
{
    idem_op *op = &call->op;
    memset(op, 0, offsetof(idem_op, error));
    op->error.code = IDEM_OK;
    op->error.message[0] = '\0';
    op->kind = kind;
    op->context = call->context;
    op->key = call->key;
}

static idem__step store_next(idem__call *call, idem_op_kind kind, uint64_t expected)
{
    set_op(call, kind);
    call->next.key = call->key;
    call->op.record = &call->next;
    call->op.live_ms = idem_record_live_ms(&call->next);
    call->op.expected = expected;
    return IDEM__STEP_NEXT;
}

static idem__step look(idem__call *call)
{
    set_op(call, IDEM_OP_GET);
    return IDEM__STEP_NEXT;
}

static idem__step done(idem__call *call, int code)
{
    call->code = code;
    return IDEM__STEP_DONE;
}

static idem__step done_with(idem__call *call, idem_outcome_kind outcome)
{
    call->code = IDEM_OK;
    call->outcome = outcome;
    return IDEM__STEP_DONE;
}

static bool is_mine(const idem__call *call, const idem_record *record)
{
    return memcmp(call->token, record->token, IDEM_TOKEN_SIZE) == 0;
}

/* ------------------------------------------------------------------------------------- begin */

static idem__step insert(idem__call *call)
{
    call->next = (idem_record){
        .fingerprint = call->fingerprint,
        .status = IDEM_STATUS_IN_PROGRESS,
        .attempt = 1,
        .lease_ms = call->lease_ms,
        .ttl_ms = call->ttl_ms,
    };
    memcpy(call->next.token, call->token, IDEM_TOKEN_SIZE);
    return store_next(call, IDEM_OP_INSERT, 0);
}

/* Takes over, or goes on as the same caller when its own lease has run out. The caller that shows
   the token of the record is the one that was counted already. */
static idem__step claim_anew(idem__call *call)
{
    const idem_record *seen = &call->seen;
    uint32_t attempts = is_mine(call, seen) || seen->attempt == UINT32_MAX ? 0 : 1;
    call->next = (idem_record){
        .fingerprint = call->fingerprint.len ? call->fingerprint : seen->fingerprint,
        .checkpoint = seen->checkpoint,
        .status = IDEM_STATUS_IN_PROGRESS,
        .attempt = seen->attempt + attempts,
        .created_at_ms = seen->created_at_ms,
        .lease_ms = call->lease_ms,
        .ttl_ms = call->ttl_ms,
    };
    memcpy(call->next.token, call->token, IDEM_TOKEN_SIZE);
    return store_next(call, IDEM_OP_REPLACE, seen->version);
}

static bool fingerprints_differ(const idem_bytes *mine, const idem_bytes *theirs)
{
    if (mine->len == 0 || theirs->len == 0)
        return false;
    return mine->len != theirs->len || memcmp(mine->data, theirs->data, mine->len) != 0;
}

static idem__step in_progress(idem__call *call, uint64_t retry_after_ms)
{
    call->retry_after_ms = retry_after_ms;
    return done_with(call, IDEM_IN_PROGRESS);
}

/* Judges the record that begin found. */
static idem__step judge(idem__call *call)
{
    const idem_record *seen = &call->seen;
    uint64_t lease_left_ms = idem_record_lease_left_ms(seen);
    if (fingerprints_differ(&call->fingerprint, &seen->fingerprint))
        return done_with(call, IDEM_MISMATCH);
    if (seen->status == IDEM_STATUS_COMPLETED)
        return done_with(call, IDEM_COMPLETED);
    if (idem__record_is_tokenless(seen)) /* of the older format: nobody may take it over */
        return in_progress(call, idem_record_retention_left_ms(seen));
    bool mine = is_mine(call, seen);
    if (mine && lease_left_ms > 0) {
        call->held = *seen;
        return done_with(call, IDEM_NEW);
    }
    if (lease_left_ms > 0)
        return in_progress(call, lease_left_ms);
    if (call->no_takeover && !mine)
        return done_with(call, IDEM_IN_DOUBT);
    return claim_anew(call);
}

static idem__step begin_first(idem__call *call)
{
    return call->read_first ? look(call) : insert(call);
}

static idem__step begin_answer(idem__call *call)
{
    if (call->op.applied) {
        call->held = call->next;
        return done_with(call, IDEM_NEW);
    }
    return call->op.has_found ? judge(call) : insert(call);
}

/* ------------------------------------------------------------------------------------ claims */

/* A completed claim, as resume finds it, is not there to be changed: only looked at. */
static bool has_ended(const idem__call *call)
{
    return call->held.status == IDEM_STATUS_COMPLETED;
}

/* What complete, renew and checkpoint make of the held record. */
static void change_held(idem__call *call)
{
    call->next = call->held;
    call->next.memory = NULL;
    call->next.age_ms = 0;
    if (call->ttl_ms)
        call->next.ttl_ms = call->ttl_ms;
    if (call->kind == IDEM__CALL_COMPLETE) {
        call->next.status = IDEM_STATUS_COMPLETED;
        call->next.response = call->text;
        call->next.encoding = call->encoding;
        call->next.checkpoint = (idem_bytes){NULL, 0};
    } else {
        if (call->lease_ms)
            call->next.lease_ms = call->lease_ms;
        if (call->kind == IDEM__CALL_CHECKPOINT)
            call->next.checkpoint = call->text;
    }
}

static idem__step replace_held(idem__call *call)
{
    change_held(call);
    return store_next(call, IDEM_OP_REPLACE, call->held.version);
}

/* The store has lost the record, and the claim was asked to reinstate it. It is an insert, so that
   another caller that was quicker keeps the key. */
static idem__step reinstate(idem__call *call)
{
    change_held(call);
    return store_next(call, IDEM_OP_INSERT, 0);
}

static idem__step remove_held(idem__call *call)
{
    set_op(call, IDEM_OP_REMOVE);
    call->op.expected = call->held.version;
    return IDEM__STEP_NEXT;
}

/* True if the record that was found is one that this call inserted, though the reply was lost: the
   last one that it sent. */
static bool sees_own_insert(const idem__call *call)
{
    return call->inserted != 0 && call->op.has_found && call->seen.version == call->inserted;
}

/* True if the record that was found is this claim, unfinished: it was written in between under the
   same token, by a call whose reply was lost, by the keepalive, or by another process. */
static bool still_held(idem__call *call)
{
    if (!call->op.has_found || call->seen.status != IDEM_STATUS_IN_PROGRESS ||
        !is_mine(call, &call->seen))
        return false;
    call->held = call->seen;
    return true;
}

static idem__step not_held(idem__call *call)
{
    return done(call, idem__protocol_error_not_held(call));
}

static idem__step change_first(idem__call *call)
{
    return has_ended(call) ? look(call) : replace_held(call);
}

static idem__step change_answer(idem__call *call)
{
    const idem_op *op = &call->op;
    if (op->applied ? op->kind == IDEM_OP_INSERT : sees_own_insert(call))
        call->reinstated = true;
    if (op->applied) {
        call->held = call->next;
        return done(call, IDEM_OK);
    }
    if (still_held(call))
        return replace_held(call);
    if (call->kind == IDEM__CALL_COMPLETE && op->has_found && is_mine(call, &call->seen))
        return done(call, IDEM_OK); /* completed by me: the reply was lost */
    bool by_store = !op->has_found && !has_ended(call);
    return call->reinstate && by_store ? reinstate(call) : not_held(call);
}

static idem__step release_first(idem__call *call)
{
    return has_ended(call) ? look(call) : remove_held(call);
}

static idem__step release_answer(idem__call *call)
{
    if (!call->op.applied && still_held(call))
        return remove_held(call);
    return done(call, IDEM_OK);
}

static idem__step resume_answer(idem__call *call)
{
    if (!call->op.has_found || !is_mine(call, &call->seen))
        return not_held(call);
    call->held = call->seen;
    return done(call, IDEM_OK);
}

static idem__step get_answer(idem__call *call)
{
    return done(call, call->op.has_found ? IDEM_OK : idem__protocol_error_not_found(call));
}

/* --------------------------------------------------------------------------------- operators */

static idem__step remove_seen(idem__call *call)
{
    set_op(call, IDEM_OP_REMOVE);
    call->op.expected = call->seen.version;
    return IDEM__STEP_NEXT;
}

/* Removes what has no version to name. */
static idem__step remove_any(idem__call *call)
{
    set_op(call, IDEM_OP_REMOVE);
    call->op.any_version = true;
    return IDEM__STEP_NEXT;
}

/* Forget names the version that it saw: a remove whose reply was lost may be carried out long after
   its repeat, and would else take away what was claimed or completed since. */
static idem__step forget_answer(idem__call *call)
{
    if (call->op.applied || !call->op.has_found)
        return done(call, IDEM_OK);
    return idem__record_is_tokenless(&call->seen) ? remove_any(call) : remove_seen(call);
}

/* True if the record that was found is nobody's any more: an operator may decide about it. */
static bool is_abandoned(const idem_record *record)
{
    return record->status == IDEM_STATUS_IN_PROGRESS && !idem__record_is_tokenless(record) &&
           idem_record_lease_left_ms(record) == 0;
}

/* An operator may also settle a record whose lease has no known end. It would else stay in progress
   for ever. */
static bool may_settle(const idem_record *record)
{
    return is_abandoned(record) || (record->status == IDEM_STATUS_IN_PROGRESS &&
                                    (record->flags & IDEM_RECORD_UNDATED) != 0);
}

static idem__step not_abandoned(idem__call *call)
{
    return done(call, idem__protocol_error_not_abandoned(call));
}

static idem__step forget_expired_answer(idem__call *call)
{
    if (call->op.applied || !call->op.has_found)
        return done(call, IDEM_OK);
    return is_abandoned(&call->seen) ? remove_seen(call) : not_abandoned(call);
}

/* The operator's answer, under a token that nobody else knows: the late owner is told that it has
   lost, and the call recognises its own write whose reply was lost. */
static idem__step settle(idem__call *call)
{
    call->next = call->seen;
    call->next.memory = NULL;
    call->next.age_ms = 0;
    call->next.flags = 0;
    call->next.status = IDEM_STATUS_COMPLETED;
    call->next.response = call->text;
    call->next.checkpoint = (idem_bytes){NULL, 0};
    memcpy(call->next.token, call->token, IDEM_TOKEN_SIZE);
    return store_next(call, IDEM_OP_REPLACE, call->seen.version);
}

static idem__step settle_answer(idem__call *call)
{
    if (call->op.applied)
        return done(call, IDEM_OK);
    if (!call->op.has_found)
        return get_answer(call);
    if (call->seen.status == IDEM_STATUS_COMPLETED && is_mine(call, &call->seen))
        return done(call, IDEM_OK); /* the reply was lost */
    return may_settle(&call->seen) ? settle(call) : not_abandoned(call);
}

/* ---------------------------------------------------------------------------------- all calls */

typedef struct {
    /* The first operation of the call. It is also the one after a failure, since what was read may
       be stale. */
    idem__step (*first)(idem__call *call);
    idem__step (*answer)(idem__call *call); /* the operation was carried out */
} behaviour;

static const behaviour behaviours[] = {
    [IDEM__CALL_BEGIN] = {begin_first, begin_answer},
    [IDEM__CALL_COMPLETE] = {change_first, change_answer},
    [IDEM__CALL_RENEW] = {change_first, change_answer},
    [IDEM__CALL_CHECKPOINT] = {change_first, change_answer},
    [IDEM__CALL_RELEASE] = {release_first, release_answer},
    [IDEM__CALL_RESUME] = {look, resume_answer},
    [IDEM__CALL_GET] = {look, get_answer},
    [IDEM__CALL_FORGET] = {look, forget_answer},
    [IDEM__CALL_FORGET_ANY] = {look, forget_answer},
    [IDEM__CALL_FORGET_EXPIRED] = {look, forget_expired_answer},
    [IDEM__CALL_SETTLE] = {look, settle_answer},
};

void idem__protocol_start(idem__call *call)
{
    bool brings_token = call->kind == IDEM__CALL_BEGIN || call->kind == IDEM__CALL_RESUME ||
                        call->kind == IDEM__CALL_SETTLE;
    if (!brings_token) /* a claim's call has that of its record */
        memcpy(call->token, call->held.token, IDEM_TOKEN_SIZE);
    idem__protocol_again(call);
}

void idem__protocol_stamp(idem__call *call, uint64_t version, int64_t wall_ms)
{
    if (!call->op.record)
        return;
    call->next.version = version;
    call->next.updated_at_ms = wall_ms;
    if (call->op.kind != IDEM_OP_INSERT)
        return;
    call->inserted = version;
    if (call->kind == IDEM__CALL_BEGIN) /* a claim that is reinstated was made earlier */
        call->next.created_at_ms = wall_ms;
}

static idem__step fail(idem__call *call)
{
    int code = call->op.error.code;
    const char *earlier = "";
    /* This operation changed nothing, whatever hindered it, but an earlier one may have. What can't
       be understood is no change of this call's. */
    if (call->doubt && code != IDEM_ERR_UNCERTAIN && code != IDEM_ERR_CORRUPT) {
        code = IDEM_ERR_UNCERTAIN;
        earlier = "; an earlier try may have made the change";
    }
    (void)idem_error_set(&call->error, code, "%.*s%s", *earlier ? 200 : 255, call->op.error.message,
                         earlier);
    return done(call, code);
}

static idem__step op_failed(idem__call *call)
{
    int code = call->op.error.code;
    if (code == IDEM_ERR_CORRUPT && call->kind == IDEM__CALL_FORGET_ANY && !call->op.any_version)
        return remove_any(call);
    if (code == IDEM_ERR_UNCERTAIN && call->op.kind != IDEM_OP_GET)
        call->doubt = true;
    else if (code == IDEM_ERR_UNCERTAIN)
        call->op.error.code = IDEM_ERR_UNAVAILABLE; /* a read leaves no doubt */
    bool transient = code == IDEM_ERR_UNAVAILABLE || code == IDEM_ERR_UNCERTAIN;
    return transient && !call->op.permanent ? IDEM__STEP_AGAIN : fail(call);
}

/* True if what is there is just what a refused change had named. To send it again would be refused
   again: the record was not written by this library, so that its version can't be compared. */
static bool refused_in_vain(const idem__call *call)
{
    const idem_op *op = &call->op;
    if (op->kind != IDEM_OP_REPLACE && op->kind != IDEM_OP_REMOVE)
        return false;
    return op->any_version ||
           (call->seen.version == op->expected && !idem__record_is_tokenless(&call->seen));
}

static idem__step take_refusal(idem__call *call)
{
    bool forgets = call->kind == IDEM__CALL_FORGET || call->kind == IDEM__CALL_FORGET_ANY;
    if (forgets && !call->op.any_version) /* it was read as a record, so it is no other program's */
        return remove_any(call);
    idem__protocol_error_refused(call);
    return fail(call);
}

/* Lets a call pause that was sent from one operation to the next too often. */
static idem__step take_breath(idem__call *call)
{
    if (++call->rounds < ROUNDS_MAX)
        return IDEM__STEP_NEXT;
    idem__protocol_error_restless(call);
    return IDEM__STEP_AGAIN;
}

idem__step idem__protocol_answer(idem__call *call)
{
    call->context = call->op.context;
    if (call->op.error.code != IDEM_OK) {
        idem_record_clear(&call->op.found);
        return op_failed(call);
    }
    if (call->op.has_found) {
        idem_record_clear(&call->seen);
        call->seen = call->op.found;
        memset(&call->op.found, 0, sizeof call->op.found);
    }
    bool in_vain = !call->op.applied && call->op.has_found && refused_in_vain(call);
    idem__step step = in_vain ? take_refusal(call) : behaviours[call->kind].answer(call);
    return step == IDEM__STEP_NEXT ? take_breath(call) : step;
}

void idem__protocol_again(idem__call *call)
{
    call->rounds = 0;
    (void)behaviours[call->kind].first(call);
}

void idem__protocol_give_up(idem__call *call)
{
    (void)fail(call);
}

void idem__protocol_clear(idem__call *call)
{
    if (call->op.found.memory)
        idem_record_clear(&call->op.found);
    if (call->seen.memory)
        idem_record_clear(&call->seen);
}
