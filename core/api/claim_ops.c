/* SPDX-License-Identifier: MIT */
/*
 * What a claim's owner does: complete, renew, checkpoint, release; and taking a claim up again by
 * its token. A call works on a copy of what the claim knows of its record, since a keepalive may
 * renew it at the same time; versions decide which of them is up to date.
 */
#include "claim_ops.h"

#include "call_key.h"
#include "clock.h"
#include "call.h"
#include "error.h"
#include "validate.h"
#include "batch_errors.h"
#include "store.h"

#include <stdlib.h>

/* --------------------------------------------------------------------------------- three parts */

static int check(const idem_store *store, const idem__change_request *request, idem_error *error)
{
    if (!store || !request->claim)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the store or the claim is NULL; only IDEM_NEW comes with a claim");
    if (request->claim->store_id != store->id)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the claim was made by another store; give the store that began it");
    if (request->kind == IDEM__CALL_COMPLETE && request->encoding == IDEM_ENCODING_BYTES)
        return idem__validate_bytes(store, "response", request->text, error);
    if (request->kind == IDEM__CALL_COMPLETE)
        return idem__validate_json(store, "response", request->text, error);
    if (request->kind == IDEM__CALL_CHECKPOINT && request->text.len > 0)
        return idem__validate_json(store, "checkpoint", request->text, error);
    return idem__validate_duration("lease_ms", request->lease_ms, error);
}

/* A response needs nothing of the record but what a claim always knows; what goes on needs all of
   it. */
static bool may_reinstate(const idem_claim *claim, idem__call_kind kind)
{
    return claim->reinstate && (!claim->stale || kind == IDEM__CALL_COMPLETE);
}

/* What the claim knows, as the call may use it while the keepalive renews it. */
static void hold_still(idem__change *change)
{
    idem_claim *claim = change->claim;
    idem__call *call = &change->call;
    if (claim->kept)
        idem__keepalive_lock();
    change->bytes = idem__claim_hold(claim, &call->held);
    call->reinstate = may_reinstate(claim, call->kind);
    claim->ending = change->ends;
    claim->given_back = change->ends && call->kind == IDEM__CALL_RELEASE;
    if (claim->kept)
        idem__keepalive_unlock();
}

int idem__change_make_at(idem_store *store, const idem__change_request *request, uint64_t now,
                         idem__change *change, idem_error *error)
{
    static const idem_bytes no_key = {NULL, 0};
    idem_claim *claim = request->claim;
    idem__call *call = &change->call;
    int rc = check(store, request, error);
    if (rc)
        return idem__stats_refused(store, request->kind, rc);
    change->claim = claim;
    change->ends = request->kind == IDEM__CALL_COMPLETE || request->kind == IDEM__CALL_RELEASE;
    if (claim->kept &&
        !change->ends) /* in the child of a fork() the thread has to be started anew */
        rc = idem__keepalive_start(&store->keeper, error);
    if (rc)
        return idem__stats_refused(store, request->kind, rc);
    idem__protocol_init(call, request->kind, no_key);
    idem__call_set_time(call, now, store->timeout_ms);
    idem__stats_start(store->timed, call);
    hold_still(change);
    call->key = call->held.key;
    call->text = request->text;
    call->encoding = request->encoding;
    call->lease_ms = request->lease_ms;
    call->ttl_ms = claim->ttl_ms;
    return IDEM_OK;
}

int idem__change_make(idem_store *store, const idem__change_request *request, idem__change *change,
                      idem_error *error)
{
    /* An in-process store repeats nothing. The coarse clock is exact enough for its deadline. */
    bool instant = store && store->in_process;
    uint64_t now = instant ? idem_monotonic_coarse_ms() : idem_monotonic_ms();
    return idem__change_make_at(store, request, now, change, error);
}

/* When to renew next, after a call of the owner's. A call in doubt may have made the lease shorter,
   or have ended the claim: the next renewal shows it. Lock held. */
static void settle_keepalive(idem_store *store, const idem__change *change)
{
    idem_claim *claim = change->claim;
    int code = change->call.code;
    if (claim->freed)
        return;
    if (code == IDEM_ERR_UNCERTAIN)
        idem__keepalive_hurry(claim);
    else if (code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND || (change->ends && !code))
        idem__keepalive_remove(claim);
    else if (code == IDEM_OK)
        idem__keepalive_add(&store->keeper, claim);
}

/* Takes in what a call made of its claim. Lock held if the claim is kept. */
static void settle(const idem__change *change, idem__claim_news *news)
{
    idem_claim *claim = change->claim;
    int code = change->call.code;
    bool lost = code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND;
    /* Or it may have been, by an earlier try whose reply was lost. */
    bool changed = code == IDEM_OK || code == IDEM_ERR_UNCERTAIN || change->call.doubt;
    if (lost)
        atomic_store(&claim->lost, true);
    else if (code == IDEM_OK && change->call.kind != IDEM__CALL_RELEASE) /* the store says so */
        atomic_store(&claim->lost, false);
    claim->ending = false;
    claim->given_back = claim->given_back && changed;
    claim->in_doubt = claim->in_doubt || (change->ends && changed && code != IDEM_OK);
    claim->generation += changed;
    /* What was ended, or may have been, or is another's, stays as it is: nothing puts it back. */
    if (lost || (change->ends && changed))
        claim->reinstate = false;
    if (news)
        idem__claim_take_news(claim, news);
}

static void finish(idem_store *store, idem__change *change)
{
    idem_claim *claim = change->claim;
    idem__claim_news news;
    /* A record that was completed is no longer this claim's to change: what was held before stays,
       so that a repeated call finds the completed one. */
    bool takes = change->call.code == IDEM_OK && !change->ends;
    if (takes)
        idem__claim_news_make(&news, claim, &change->call.held, change->bytes);
    if (claim->kept)
        idem__keepalive_lock();
    settle(change, takes ? &news : NULL);
    if (claim->kept) {
        settle_keepalive(store, change);
        idem__keepalive_unlock();
    }
    if (takes)
        idem__claim_news_clear(&news);
}

int idem__change_finish(idem_store *store, idem__change *change, idem_error *error)
{
    int rc = change->call.code;
    if (rc)
        (void)idem__error_copy(error, &change->call.error);
    if (change->call.reinstated) /* while the key that the call borrows is still there */
        idem__call_tell_reinstated(store, &change->call);
    idem__stats_end(store, &change->call);
    finish(store, change);
    idem__protocol_clear(&change->call);
    idem__claim_release_bytes(change->bytes);
    return rc;
}

void idem__change_abandon(idem__change *change)
{
    idem__protocol_clear(&change->call);
    idem__claim_release_bytes(change->bytes);
    idem__claim_drop(change->claim);
}

/* ------------------------------------------------------------------------------------ the calls */

static int carry_out(idem_store *store, const idem__change_request *request, idem_error *error)
{
    idem__change change;
    idem__call *calls[] = {&change.call};
    idem__error_clear(error);
    int rc = idem__change_make(store, request, &change, error);
    if (rc)
        return rc;
    idem__call_run(store, calls, 1);
    return idem__change_finish(store, &change, error);
}

int idem_complete(idem_store *store, idem_claim *claim, idem_bytes response, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_COMPLETE, .claim = claim, .text = response};
    return carry_out(store, &request, error);
}

int idem_complete_bytes(idem_store *store, idem_claim *claim, idem_bytes response,
                        idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_COMPLETE,
                                    .claim = claim,
                                    .text = response,
                                    .encoding = IDEM_ENCODING_BYTES};
    return carry_out(store, &request, error);
}

int idem_renew(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_RENEW, .claim = claim, .lease_ms = lease_ms};
    return carry_out(store, &request, error);
}

int idem_keepalive(idem_store *store, idem_claim *claim, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_RENEW, .claim = claim};
    idem__error_clear(error);
    int rc = check(store, &request, error);
    if (rc)
        return rc;
    rc = idem__validate_keepalive(store, error);
    if (rc || claim->kept)
        return rc ? rc : idem_renew(store, claim, 0, error);
    /* The renewal enters the claim into the keeper's list; no other thread looks at it before. */
    claim->kept = true;
    rc = carry_out(store, &request, error);
    if (rc)
        claim->kept = false;
    return rc;
}

int idem_checkpoint(idem_store *store, idem_claim *claim, idem_bytes json, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_CHECKPOINT, .claim = claim, .text = json};
    return carry_out(store, &request, error);
}

int idem_release(idem_store *store, idem_claim *claim, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_RELEASE, .claim = claim};
    return carry_out(store, &request, error);
}

/* Completes some claims together. */
static void complete_portion(idem_store *store, idem_claim *const *claims,
                             const idem_bytes *responses, size_t first, size_t count,
                             idem__batch_errors *many, idem__change *changes)
{
    idem__call *calls[IDEM_BATCH_MAX];
    size_t index[IDEM_BATCH_MAX];
    size_t made = 0;
    uint64_t now = idem_monotonic_ms();
    for (size_t i = first; i < first + count; i++) {
        idem__change_request request = {
            .kind = IDEM__CALL_COMPLETE, .claim = claims[i], .text = responses[i]};
        index[made] = i;
        if (idem__change_make_at(store, &request, now, &changes[made],
                                 idem__batch_errors_error(many, i)) == IDEM_OK) {
            calls[made] = &changes[made].call;
            calls[made]->context = many->context;
            made++;
        } else {
            idem__batch_errors_settle(many, i);
        }
    }
    if (made > 0) {
        idem__call_run(store, calls, made);
        many->context = calls[0]->context;
    }
    for (size_t i = 0; i < made; i++) {
        (void)idem__change_finish(store, &changes[i], idem__batch_errors_error(many, index[i]));
        idem__batch_errors_settle(many, index[i]);
    }
}

int idem_complete_many(idem_store *store, idem_claim *const *claims, const idem_bytes *responses,
                       size_t count, idem_error *errors, idem_error *error)
{
    idem__batch_errors many;
    idem__batch_errors_init(&many, count, errors, error);
    if (!store || (count > 0 && (!claims || !responses)))
        return idem__batch_errors_refuse(&many, IDEM_ERR_ARGUMENT,
                                         "the store, the claims or the responses are NULL");
    if (count == 0)
        return IDEM_OK;
    size_t portion_max = count < IDEM_BATCH_MAX ? count : IDEM_BATCH_MAX;
    idem__change *changes = malloc(portion_max * sizeof *changes);
    if (!changes)
        return idem__batch_errors_refuse(&many, IDEM_ERR_NO_MEMORY, "out of memory");
    for (size_t first = 0; first < count; first += portion_max) {
        size_t size = count - first < portion_max ? count - first : portion_max;
        complete_portion(store, claims, responses, first, size, &many, changes);
    }
    free(changes);
    return many.code;
}

int idem_resume(idem_store *store, idem_bytes key, const uint8_t token[16], idem_claim **claim,
                idem_error *error)
{
    idem__call call;
    idem__call *calls[] = {&call};
    idem__error_clear(error);
    if (!store || !claim || idem__validate_no_token(token))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the store, the token or the place for the claim is NULL, or the "
                              "token is all zero");
    idem_claim *made;
    idem_bytes no_fingerprint = {NULL, 0};
    int rc = idem__call_key_check(key, error);
    if (rc == IDEM_OK)
        rc = idem__claim_new(store, key, no_fingerprint, &made, error);
    if (rc)
        return idem__stats_refused(store, IDEM__CALL_RESUME, rc);
    idem__protocol_init(&call, IDEM__CALL_RESUME, made->held.key);
    idem__call_set_time(&call, idem_monotonic_ms(), store->timeout_ms);
    idem__stats_start(store->timed, &call);
    memcpy(call.token, token, IDEM_TOKEN_SIZE);
    idem__call_run(store, calls, 1);
    idem__stats_end(store, &call);
    rc = call.code;
    if (rc) {
        (void)idem__error_copy(error, &call.error);
        idem__claim_drop(made);
    } else {
        idem__claim_take(made, &call.held);
        *claim = made;
    }
    idem__protocol_clear(&call);
    return rc;
}

void idem_claim_free(idem_claim *claim)
{
    if (!claim)
        return;
    if (claim->kept) {
        idem__keepalive_lock();
        claim->freed = true;
        idem__keepalive_remove(claim);
        idem__keepalive_unlock();
    }
    idem__claim_drop(claim);
}
