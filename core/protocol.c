/* SPDX-License-Identifier: MIT */
/*
 * The state machine, written once for all backends.
 *
 * Three rules carry the guarantees. Nobody is told IDEM_NEW without an insert or a replace of his
 * own that was applied, or a record that bears his token: an absent key leads back to the insert.
 * Every change of an existing record names the version that was read, and every write that is sent
 * bears a fresh one, a repeated write included: so a claim that was renewed in between can't be
 * taken, and a stale reader never meets the same version twice. Who a caller is says the token
 * alone: it is how a caller recognises its own write whose reply was lost.
 */
#include "protocol.h"

#include "record.h"

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
    call->outcome = outcome;
    return done(call, IDEM_OK);
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

static idem__step take_over(idem__call *call)
{
    const idem_record *seen = &call->seen;
    call->next = (idem_record){
        .fingerprint = call->fingerprint.len ? call->fingerprint : seen->fingerprint,
        .checkpoint = seen->checkpoint,
        .status = IDEM_STATUS_IN_PROGRESS,
        .attempt = seen->attempt < UINT32_MAX ? seen->attempt + 1 : UINT32_MAX,
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
    if (is_mine(call, seen)) {
        call->held = *seen;
        return done_with(call, IDEM_NEW);
    }
    if (lease_left_ms > 0)
        return in_progress(call, lease_left_ms);
    if (call->no_takeover)
        return done_with(call, IDEM_IN_DOUBT);
    return take_over(call);
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

/* What complete, renew and checkpoint store in place of the held record. */
static idem__step replace_held(idem__call *call)
{
    const idem_record *held = &call->held;
    call->next = *held;
    call->next.memory = NULL;
    call->next.age_ms = 0;
    if (call->ttl_ms)
        call->next.ttl_ms = call->ttl_ms;
    if (call->kind == IDEM__CALL_COMPLETE) {
        call->next.status = IDEM_STATUS_COMPLETED;
        call->next.response = call->text;
        call->next.checkpoint = (idem_bytes){NULL, 0};
    } else {
        if (call->lease_ms)
            call->next.lease_ms = call->lease_ms;
        if (call->kind == IDEM__CALL_CHECKPOINT)
            call->next.checkpoint = call->text;
    }
    return store_next(call, IDEM_OP_REPLACE, held->version);
}

static idem__step remove_held(idem__call *call)
{
    set_op(call, IDEM_OP_REMOVE);
    call->op.expected = call->held.version;
    return IDEM__STEP_NEXT;
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
    char quoted[IDEM_QUOTE_SIZE];
    (void)idem_quote(call->key, quoted);
    if (!call->op.has_found) {
        (void)idem_error_set(&call->error, IDEM_ERR_NOT_FOUND,
                             "there is no record of %s: it was released or forgotten, or its "
                             "retention ended; begin again",
                             quoted);
        return done(call, IDEM_ERR_NOT_FOUND);
    }
    bool completed = call->seen.status == IDEM_STATUS_COMPLETED;
    (void)idem_error_set(&call->error, IDEM_ERR_LOST, "the claim on %s is lost: %s", quoted,
                         !completed ? "another caller holds it; stop this work"
                         : is_mine(call, &call->seen)
                             ? "it was completed; begin again to read the response"
                             : "another caller completed it; begin again to read the response");
    return done(call, IDEM_ERR_LOST);
}

static idem__step replace_answer(idem__call *call)
{
    if (call->op.applied) {
        call->held = call->next;
        return done(call, IDEM_OK);
    }
    if (still_held(call))
        return replace_held(call);
    if (call->kind == IDEM__CALL_COMPLETE && call->op.has_found && is_mine(call, &call->seen))
        return done(call, IDEM_OK); /* completed by me: the reply was lost */
    return not_held(call);
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
    char quoted[IDEM_QUOTE_SIZE];
    if (call->op.has_found)
        return done(call, IDEM_OK);
    (void)idem_error_set(&call->error, IDEM_ERR_NOT_FOUND, "there is no record of %s",
                         idem_quote(call->key, quoted));
    return done(call, IDEM_ERR_NOT_FOUND);
}

/* Forgets what has no version to name. */
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
    if (idem__record_is_tokenless(&call->seen))
        return remove_any(call);
    set_op(call, IDEM_OP_REMOVE);
    call->op.expected = call->seen.version;
    return IDEM__STEP_NEXT;
}

/* ---------------------------------------------------------------------------------- all calls */

/* The call's first operation, and the one to go on with after a failure: what was read before may
   be stale, so begin looks anew, and a claim's call starts from what is known of its record. */
static idem__step first_op(idem__call *call)
{
    /* A completed claim, as resume finds it, is not there to be changed: only looked at. */
    bool ended = call->held.status == IDEM_STATUS_COMPLETED;
    switch (call->kind) {
    case IDEM__CALL_BEGIN:
        return call->look_first ? look(call) : insert(call);
    case IDEM__CALL_COMPLETE:
    case IDEM__CALL_RENEW:
    case IDEM__CALL_CHECKPOINT:
        return ended ? look(call) : replace_held(call);
    case IDEM__CALL_RELEASE:
        return ended ? look(call) : remove_held(call);
    case IDEM__CALL_FORGET:
    case IDEM__CALL_RESUME:
    case IDEM__CALL_GET:
    default: /* there is no other kind */
        break;
    }
    return look(call);
}

void idem__protocol_start(idem__call *call)
{
    if (call->kind != IDEM__CALL_BEGIN && call->kind != IDEM__CALL_RESUME)
        memcpy(call->token, call->held.token, IDEM_TOKEN_SIZE);
    (void)first_op(call);
}

void idem__protocol_stamp(idem__call *call, uint64_t version, int64_t wall_ms)
{
    if (!call->op.record)
        return;
    call->next.version = version;
    call->next.updated_at_ms = wall_ms;
    if (call->op.kind == IDEM_OP_INSERT)
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
    if (code == IDEM_ERR_CORRUPT && call->kind == IDEM__CALL_FORGET && !call->op.any_version)
        return remove_any(call);
    if (code == IDEM_ERR_UNCERTAIN && call->op.kind != IDEM_OP_GET)
        call->doubt = true;
    else if (code == IDEM_ERR_UNCERTAIN)
        call->op.error.code = IDEM_ERR_UNAVAILABLE; /* a read leaves no doubt */
    bool transient = code == IDEM_ERR_UNAVAILABLE || code == IDEM_ERR_UNCERTAIN;
    return transient && !call->op.permanent ? IDEM__STEP_AGAIN : fail(call);
}

static idem__step kind_answer(idem__call *call)
{
    switch (call->kind) {
    case IDEM__CALL_BEGIN:
        return begin_answer(call);
    case IDEM__CALL_COMPLETE:
    case IDEM__CALL_RENEW:
    case IDEM__CALL_CHECKPOINT:
        return replace_answer(call);
    case IDEM__CALL_RELEASE:
        return release_answer(call);
    case IDEM__CALL_RESUME:
        return resume_answer(call);
    case IDEM__CALL_GET:
        return get_answer(call);
    case IDEM__CALL_FORGET:
    default: /* there is no other kind */
        break;
    }
    return forget_answer(call);
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
    return kind_answer(call);
}

void idem__protocol_again(idem__call *call)
{
    (void)first_op(call);
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
