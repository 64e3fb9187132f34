/* SPDX-License-Identifier: MIT */
/*
 * The public calls on keys and claims. Here the caller is checked: arguments, limits, JSON; the
 * protocol and the backend can rely on it. Nothing is sent before all of a call's input is known
 * to be good.
 */
#include "store.h"

#include "call_key.h"
#include "clock.h"
#include "drive.h"
#include "error.h"
#include "json.h"
#include "random.h"

#define WAIT_PAUSE_LIMIT_MS 250u

/* ------------------------------------------------------------------------------------ checking */

static int check_duration(const char *name, uint64_t ms, idem_error *error)
{
    if (ms <= IDEM_DURATION_MAX_MS)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "%s is longer than 100 years", name);
}

static int check_json(const idem_store *store, const char *what, idem_bytes text, idem_error *error)
{
    idem__json json;
    if (!text.data && text.len > 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the %s is NULL but has a length", what);
    if (text.len > store->max_response)
        return idem_error_set(error, IDEM_ERR_TOO_LARGE,
                              "the %s has %zu bytes and the store takes %llu; store a reference to "
                              "it, or open the store with a larger max_response",
                              what, text.len, (unsigned long long)store->max_response);
    if (idem__json_valid(&json, text))
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "the %s is not JSON: %s at byte %zu", what,
                          json.problem, text.len ? (size_t)(json.at - (const char *)text.data) : 0);
}

/* Reads the caller's struct, which may be of another version of the header. */
static int read_request(const idem_request *request, idem_request *read, idem_error *error)
{
    if (!request || request->size < offsetof(idem_request, fingerprint))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the request is NULL or its size is not set; make it with "
                              "IDEM_REQUEST() or idem_request_init()");
    memset(read, 0, sizeof *read);
    memcpy(read, request, request->size < sizeof *read ? request->size : sizeof *read);
    return IDEM_OK;
}

static int check_request(const idem_store *store, const idem_request *request, idem_error *error)
{
    static const uint8_t no_token[IDEM_TOKEN_SIZE];
    int rc = check_duration("lease_ms", request->lease_ms, error);
    if (rc == IDEM_OK)
        rc = check_duration("ttl_ms", request->ttl_ms, error);
    if (rc == IDEM_OK)
        rc = check_duration("timeout_ms", request->timeout_ms, error);
    if (rc == IDEM_OK)
        rc = check_duration("wait_ms", request->wait_ms, error);
    if (rc)
        return rc;
    if (request->fingerprint.len > IDEM_FINGERPRINT_MAX ||
        (request->fingerprint.len > 0 && !request->fingerprint.data))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a fingerprint has at most %u bytes; use idem_fingerprint()",
                              IDEM_FINGERPRINT_MAX);
    if (request->token && memcmp(request->token, no_token, sizeof no_token) == 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the token is all zero; use the one of an earlier claim, or NULL");
    if (request->flags & ~(IDEM_KEEPALIVE | IDEM_NO_TAKEOVER))
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the request has an unknown flag");
    if ((request->flags & IDEM_KEEPALIVE) && !(idem_traits(store) & IDEM_TRAIT_KEEPALIVE))
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "%s: the store is used by the caller's thread alone and can't keep "
                              "claims alive; call idem_renew()",
                              store->ops.scheme);
    return IDEM_OK;
}

/* --------------------------------------------------------------------------------------- begin */

static int ask(idem__call *call, const idem_store *store, const idem_request *request,
               idem_bytes key, idem_error *error)
{
    idem__drive_init(call, IDEM__CALL_BEGIN, key);
    call->no_takeover = (request->flags & IDEM_NO_TAKEOVER) != 0;
    call->look_first = store->look_first;
    call->fingerprint = request->fingerprint;
    call->lease_ms = request->lease_ms ? request->lease_ms : store->lease_ms;
    call->ttl_ms = request->ttl_ms ? request->ttl_ms : store->ttl_ms;
    if (!request->token)
        return idem__random_draw(call->token, IDEM_TOKEN_SIZE, error);
    memcpy(call->token, request->token, IDEM_TOKEN_SIZE);
    return IDEM_OK;
}

/* Drives begin, again and again while the key is in progress and there is time to wait. */
static void begin_and_wait(idem_store *store, idem__call *call, const idem_request *request)
{
    uint64_t timeout_ms = request->timeout_ms ? request->timeout_ms : store->timeout_ms;
    uint64_t now = idem_monotonic_ms();
    uint64_t wait_until = now + request->wait_ms;
    uint64_t last_deadline = wait_until + timeout_ms;
    uint64_t pause_ms = 4;
    for (;;) {
        uint64_t deadline = now + timeout_ms;
        idem__drive(store, &call, 1, deadline < last_deadline ? deadline : last_deadline);
        if (call->code != IDEM_OK || call->outcome != IDEM_IN_PROGRESS || request->wait_ms == 0)
            return;
        now = idem_monotonic_ms();
        if (now >= wait_until)
            return;
        uint64_t pause = idem__drive_backoff(&pause_ms, WAIT_PAUSE_LIMIT_MS);
        if (pause > call->retry_after_ms + 1)
            pause = call->retry_after_ms + 1;
        idem__clock_sleep_until(now + pause < wait_until ? now + pause : wait_until);
        now = idem_monotonic_ms();
        idem__protocol_clear(call);
    }
}

/* Makes the claim that begin made the caller's. */
static void hand_over(idem_store *store, const idem__call *call, uint64_t flags, idem_claim *claim)
{
    idem__claim_take(claim, &call->held);
    if (flags & IDEM_KEEPALIVE) {
        claim->kept = true;
        idem__keepalive_lock();
        idem__keepalive_add(&store->keeper, claim);
        idem__keepalive_unlock();
    }
}

/* Moves what begin found out into the caller's struct; the claim too, if it was claimed. */
static void report(idem_store *store, idem__call *call, uint64_t flags, idem_claim **claim,
                   idem_outcome *outcome)
{
    idem_outcome made = {.kind = call->outcome};
    const idem_record *record = call->outcome == IDEM_NEW ? &call->held : &call->seen;
    if (call->outcome == IDEM_NEW) {
        hand_over(store, call, flags, *claim);
        made.claim = *claim;
        *claim = NULL;
    }
    made.attempt = record->attempt;
    made.created_at_ms = record->created_at_ms;
    made.retry_after_ms = call->retry_after_ms;
    if (call->outcome == IDEM_COMPLETED)
        made.response = record->response;
    if (call->outcome == IDEM_NEW || call->outcome == IDEM_IN_DOUBT)
        made.checkpoint = record->checkpoint;
    made.memory = call->seen.memory; /* what these bytes live in */
    call->seen.memory = NULL;
    *outcome = made;
}

int idem_begin(idem_store *store, const idem_request *request, idem_outcome *outcome,
               idem_error *error)
{
    idem_request read;
    idem__call_key key;
    idem__call call;
    idem_claim *claim;
    idem__error_clear(error);
    if (!store || !outcome)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the outcome is NULL");
    int rc = read_request(request, &read, error);
    if (rc == IDEM_OK)
        rc = check_request(store, &read, error);
    if (rc == IDEM_OK)
        rc = idem__call_key_make(&key, store, read.key, error);
    if (rc == IDEM_OK && (read.flags & IDEM_KEEPALIVE))
        rc = idem__keepalive_start(&store->keeper, error);
    if (rc == IDEM_OK)
        rc = ask(&call, store, &read, key.bytes, error);
    /* Before anything is sent: for a claim that was made there has to be an object. */
    if (rc == IDEM_OK)
        rc = idem__claim_new(key.bytes, read.fingerprint, store->prefix.len, &claim, error);
    if (rc)
        return rc;
    begin_and_wait(store, &call, &read);
    rc = call.code;
    if (rc)
        (void)idem__error_copy(error, &call.error);
    else
        report(store, &call, read.flags, &claim, outcome);
    idem_claim_free(claim);
    idem__protocol_clear(&call);
    return rc;
}

void idem_outcome_clear(idem_outcome *outcome)
{
    if (!outcome)
        return;
    idem_claim_free(outcome->claim);
    idem_record owner = {.memory = outcome->memory};
    idem_record_clear(&owner);
    memset(outcome, 0, sizeof *outcome);
}

/* -------------------------------------------------------------------------------------- claims */

void idem_claim_free(idem_claim *claim)
{
    if (!claim)
        return;
    if (!claim->kept) {
        idem__claim_destroy(claim);
        return;
    }
    idem__keepalive_lock();
    idem__keepalive_remove(claim);
    bool last = --claim->refs == 0;
    idem__keepalive_unlock();
    if (last)
        idem__claim_destroy(claim);
}

/* A claim's record as the call may use it: a copy where the keepalive could change it. */
static int hold_still(idem_claim *claim, bool ends, idem_record *held, idem_error *error)
{
    if (!claim->kept) {
        *held = claim->held;
        held->memory = NULL;
        return IDEM_OK;
    }
    idem__keepalive_lock();
    int rc = idem_record_copy(&claim->held, held, error);
    claim->ending = ends && rc == IDEM_OK;
    idem__keepalive_unlock();
    return rc;
}

/* Takes in what a call made of its claim. */
static void settle(idem_store *store, idem_claim *claim, const idem__call *call, bool ends)
{
    bool lost = call->code == IDEM_ERR_LOST || call->code == IDEM_ERR_NOT_FOUND;
    if (lost)
        atomic_store(&claim->lost, true);
    if (claim->kept)
        idem__keepalive_lock();
    claim->ending = false;
    /* A record that was completed is no longer this claim's to change: what was held before stays,
       so that a repeated call finds the completed one. */
    if (call->code == IDEM_OK && !ends)
        idem__claim_update(claim, &call->held);
    if (claim->kept) {
        if (lost || (ends && call->code == IDEM_OK))
            idem__keepalive_remove(claim);
        else if (call->code == IDEM_OK)
            idem__keepalive_add(&store->keeper, claim);
        idem__keepalive_unlock();
    }
}

/* Carries out complete, renew, checkpoint or release. */
static int change(idem_store *store, idem_claim *claim, idem__call_kind kind, idem_bytes text,
                  uint64_t lease_ms, idem_error *error)
{
    idem__call call;
    idem__call *calls[] = {&call};
    idem_record held;
    bool ends = kind == IDEM__CALL_COMPLETE || kind == IDEM__CALL_RELEASE;
    if (claim->kept && !ends) { /* in the child of a fork() the thread has to be started anew */
        int failed = idem__keepalive_start(&store->keeper, error);
        if (failed)
            return failed;
    }
    int rc = hold_still(claim, ends, &held, error);
    if (rc)
        return rc;
    idem__drive_init(&call, kind, held.key);
    call.held = held;
    call.text = text;
    call.lease_ms = lease_ms;
    call.ttl_ms = claim->ttl_ms;
    idem__drive(store, calls, 1, idem__clock_deadline(store->timeout_ms));
    rc = call.code;
    if (rc)
        (void)idem__error_copy(error, &call.error);
    settle(store, claim, &call, ends);
    idem__protocol_clear(&call);
    idem_record_clear(&held);
    return rc;
}

static int check_claim(const idem_store *store, const idem_claim *claim, idem_error *error)
{
    idem__error_clear(error);
    if (!store || !claim)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the store or the claim is NULL; only IDEM_NEW comes with a claim");
    return IDEM_OK;
}

int idem_complete(idem_store *store, idem_claim *claim, idem_bytes response, idem_error *error)
{
    int rc = check_claim(store, claim, error);
    if (rc == IDEM_OK)
        rc = check_json(store, "response", response, error);
    return rc ? rc : change(store, claim, IDEM__CALL_COMPLETE, response, 0, error);
}

int idem_renew(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error)
{
    idem_bytes none = {NULL, 0};
    int rc = check_claim(store, claim, error);
    if (rc == IDEM_OK)
        rc = check_duration("lease_ms", lease_ms, error);
    return rc ? rc : change(store, claim, IDEM__CALL_RENEW, none, lease_ms, error);
}

int idem_checkpoint(idem_store *store, idem_claim *claim, idem_bytes json, idem_error *error)
{
    int rc = check_claim(store, claim, error);
    if (rc == IDEM_OK && json.len > 0)
        rc = check_json(store, "checkpoint", json, error);
    return rc ? rc : change(store, claim, IDEM__CALL_CHECKPOINT, json, 0, error);
}

int idem_release(idem_store *store, idem_claim *claim, idem_error *error)
{
    idem_bytes none = {NULL, 0};
    int rc = check_claim(store, claim, error);
    return rc ? rc : change(store, claim, IDEM__CALL_RELEASE, none, 0, error);
}

int idem_resume(idem_store *store, idem_bytes key, const uint8_t token[16], idem_claim **claim,
                idem_error *error)
{
    static const uint8_t no_token[IDEM_TOKEN_SIZE];
    idem__call_key full;
    idem__call call;
    idem__call *calls[] = {&call};
    idem__error_clear(error);
    if (!store || !claim || !token || memcmp(token, no_token, sizeof no_token) == 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the store, the token or the place for the claim is NULL, or the "
                              "token is all zero");
    idem_claim *made;
    idem_bytes no_fingerprint = {NULL, 0};
    int rc = idem__call_key_make(&full, store, key, error);
    if (rc == IDEM_OK)
        rc = idem__claim_new(full.bytes, no_fingerprint, store->prefix.len, &made, error);
    if (rc)
        return rc;
    idem__drive_init(&call, IDEM__CALL_RESUME, full.bytes);
    memcpy(call.token, token, IDEM_TOKEN_SIZE);
    idem__drive(store, calls, 1, idem__clock_deadline(store->timeout_ms));
    rc = call.code;
    if (rc) {
        (void)idem__error_copy(error, &call.error);
        idem__claim_destroy(made);
    } else {
        idem__claim_take(made, &call.held);
        *claim = made;
    }
    idem__protocol_clear(&call);
    return rc;
}
