/* SPDX-License-Identifier: MIT */
/*
 * begin, for one key and for many: a request becomes a call, and the call's answer an outcome. Many
 * are driven together, so that they share round trips; each has its own deadline and its own wait.
 */
#include "begin.h"

#include "call_key.h"
#include "claim.h"
#include "clock.h"
#include "call.h"
#include "error.h"
#include "validate.h"
#include "read_first.h"
#include "batch_errors.h"
#include "random.h"
#include "store.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------- from a request */

/* Makes the claim object and the call; the request was checked. */
static int make_call(idem_store *store, uint64_t now, idem__begin *begin, idem_error *error)
{
    const idem_request *request = &begin->request;
    idem__call *call = &begin->call;
    /* Before anything is sent: for a claim that was made there has to be an object. */
    int rc = idem__claim_new(store, request->key, request->fingerprint, &begin->claim, error);
    if (rc)
        return rc;
    idem__protocol_init(call, IDEM__CALL_BEGIN, begin->claim->held.key);
    call->no_takeover = (request->flags & IDEM_NO_TAKEOVER) != 0;
    call->read_first = store->read_first && idem__read_first(store);
    call->fingerprint = request->fingerprint;
    call->lease_ms = request->lease_ms ? request->lease_ms : store->lease_ms;
    call->ttl_ms = request->ttl_ms ? request->ttl_ms : store->ttl_ms;
    if (request->token)
        memcpy(call->token, request->token, IDEM_TOKEN_SIZE);
    call->wait_until_ms = request->wait_ms ? now + request->wait_ms : 0;
    idem__call_set_time(call, now, request->timeout_ms ? request->timeout_ms : store->timeout_ms);
    idem__stats_start(store->timed, call);
    return IDEM_OK;
}

/* What a call needs before it may claim the key: a fresh token, unless the request brings one, and
   the keepalive's thread if the claim is to be kept. The first version is drawn with the token, in
   one system call. Drops the claim's object on failure. */
static int prepare(idem_store *store, idem__begin *begin, idem_error *error)
{
    uint64_t bits[IDEM_TOKEN_SIZE / sizeof(uint64_t) + 1];
    idem__call *call = &begin->call;
    int rc = IDEM_OK;
    if (!begin->request.token) {
        rc = idem__random_draw(store->pooled, bits, sizeof bits, call->deadline_ms, error);
        if (rc == IDEM_OK) {
            memcpy(call->token, bits, IDEM_TOKEN_SIZE);
            call->first_version = bits[IDEM_TOKEN_SIZE / sizeof(uint64_t)];
        }
    }
    if (rc == IDEM_OK && (begin->request.flags & IDEM_KEEPALIVE))
        rc = idem__keepalive_start(&store->keeper, error);
    if (rc)
        idem__claim_drop(begin->claim);
    return rc;
}

int idem__begin_make_at(idem_store *store, const idem_request *request, uint64_t now,
                        idem__begin *begin, idem_error *error)
{
    int rc = idem__validate_request(store, request, &begin->request, error);
    if (rc == IDEM_OK)
        rc = idem__call_key_check(begin->request.key, error);
    if (rc == IDEM_OK)
        rc = make_call(store, now, begin, error);
    if (rc == IDEM_OK)
        rc = prepare(store, begin, error);
    return idem__stats_refused(store, IDEM__CALL_BEGIN, rc);
}

int idem__begin_make(idem_store *store, const idem_request *request, idem__begin *begin,
                     idem_error *error)
{
    return idem__begin_make_at(store, request, idem_monotonic_ms(), begin, error);
}

/* -------------------------------------------------------------------------------- to an outcome */

/* Gives the new claim to the caller. */
static idem_claim *hand_over(idem_store *store, idem__begin *begin)
{
    idem_claim *claim = begin->claim;
    begin->claim = NULL;
    idem__claim_take(claim, &begin->call.held);
    claim->reinstate = (begin->request.flags & IDEM_REINSTATE) != 0 &&
                       !(begin->call.context & IDEM_CONTEXT_REVOCABLE);
    if (begin->request.flags & IDEM_KEEPALIVE) {
        claim->kept = true;
        idem__keepalive_lock();
        idem__keepalive_add(&store->keeper, claim);
        idem__keepalive_unlock();
    }
    return claim;
}

int idem__begin_report(idem_store *store, idem__begin *begin, idem_outcome *outcome,
                       idem_error *error)
{
    idem__call *call = &begin->call;
    idem_outcome made = {.kind = call->outcome};
    const idem_record *record = call->outcome == IDEM_NEW ? &call->held : &call->seen;
    if (store->read_first || store->in_process)
        idem__read_first_learn(store, call);
    idem__stats_end(store, call);
    if (call->code)
        return idem__error_copy(error, &call->error);
    if (call->outcome == IDEM_NEW)
        made.claim = hand_over(store, begin);
    made.attempt = record->attempt;
    made.created_at_ms = record->created_at_ms;
    made.retry_after_ms = call->retry_after_ms;
    if (call->outcome == IDEM_COMPLETED)
        made.response = record->response;
    made.encoding = record->encoding;
    if (call->outcome == IDEM_NEW || call->outcome == IDEM_IN_DOUBT)
        made.checkpoint = record->checkpoint;
    made.memory = call->seen.memory; /* what these bytes live in */
    call->seen.memory = NULL;
    *outcome = made;
    return IDEM_OK;
}

void idem__begin_clear(idem__begin *begin)
{
    if (begin->claim) /* it was not handed over */
        idem_claim_free(begin->claim);
    idem__protocol_clear(&begin->call);
}

void idem_outcome_clear(idem_outcome *outcome)
{
    if (!outcome)
        return;
    idem_claim_free(outcome->claim);
    free(outcome->memory);
    memset(outcome, 0, sizeof *outcome);
}

/* ------------------------------------------------------------------------------------ the calls */

int idem_begin(idem_store *store, const idem_request *request, idem_outcome *outcome,
               idem_error *error)
{
    idem__begin begin;
    idem__call *call = &begin.call;
    idem__error_clear(error);
    if (outcome)
        memset(outcome, 0, sizeof *outcome);
    if (!store || !outcome)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the outcome is NULL");
    int rc = idem__validate_request(store, request, &begin.request, error);
    if (rc == IDEM_OK)
        rc = idem__call_key_check(begin.request.key, error);
    if (rc)
        return idem__stats_refused(store, IDEM__CALL_BEGIN, rc);
    if (store->in_process && idem__read_first_replay(store, &begin.request, outcome))
        return IDEM_OK;
    /* An in-process store repeats nothing. The coarse clock is exact enough for its deadline. */
    bool coarse = store->in_process && begin.request.wait_ms == 0;
    rc = make_call(store, coarse ? idem_monotonic_coarse_ms() : idem_monotonic_ms(), &begin, error);
    /* What a look answers takes neither a token nor a thread that renews. */
    bool answered = rc == IDEM_OK && call->read_first && idem__read_first_answers(store, &begin);
    if (rc == IDEM_OK && !answered)
        rc = prepare(store, &begin, error);
    if (rc)
        return idem__stats_refused(store, IDEM__CALL_BEGIN, rc);
    if (!answered)
        idem__call_run(store, &call, 1);
    rc = idem__begin_report(store, &begin, outcome, error);
    idem__begin_clear(&begin);
    return rc;
}

/* Where the answer of one of a batch goes. */
typedef struct {
    idem__begin begin;
    idem_store *store;
    idem__batch_errors *errors;
    idem_outcome *outcomes; /* of the whole batch */
    size_t index;           /* in the caller's arrays */
} one_of_many;

/* As soon as it is done: others may wait for their keys yet, and its claim has to be kept. */
static void answer_one(idem__call *call, void *user)
{
    one_of_many *one = user;
    (void)call;
    (void)idem__begin_report(one->store, &one->begin, &one->outcomes[one->index],
                             idem__batch_errors_error(one->errors, one->index));
    idem__batch_errors_settle(one->errors, one->index);
    one->errors->context = one->begin.call.context;
    idem__begin_clear(&one->begin);
}

/* Requests may be of another version of the header: they follow each other by their own size. */
static const idem_request *request_at(const idem_request *requests, size_t index)
{
    return (const idem_request *)(const void *)((const char *)requests + index * requests->size);
}

static int make_one(idem_store *store, const idem_request *request, size_t size, uint64_t now,
                    idem__begin *begin, idem_error *error)
{
    if (request->size == size)
        return idem__begin_make_at(store, request, now, begin, error);
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "the requests of one call have one size; make each with "
                          "idem_request_init()");
}

static void begin_portion(idem_store *store, const idem_request *requests, size_t first,
                          size_t count, idem_outcome *outcomes, idem__batch_errors *errors,
                          one_of_many *all)
{
    idem__call *calls[IDEM_BATCH_MAX];
    uint8_t context = errors->context; /* of the whole batch: one call of the caller's */
    uint64_t now = idem_monotonic_ms();
    size_t made = 0;
    for (size_t i = first; i < first + count; i++) {
        one_of_many *one = &all[i - first];
        *one = (one_of_many){.store = store, .errors = errors, .outcomes = outcomes, .index = i};
        if (make_one(store, request_at(requests, i), requests->size, now, &one->begin,
                     idem__batch_errors_error(errors, i))) {
            idem__batch_errors_settle(errors, i);
            continue;
        }
        one->begin.call.context = context;
        one->begin.call.done = answer_one;
        one->begin.call.user = one;
        calls[made++] = &one->begin.call;
    }
    if (made > 0)
        idem__call_run(store, calls, made);
}

int idem_begin_many(idem_store *store, const idem_request *requests, size_t count,
                    idem_outcome *outcomes, idem_error *errors, idem_error *error)
{
    idem__batch_errors many;
    idem__batch_errors_init(&many, count, errors, error);
    if (outcomes && count > 0)
        memset(outcomes, 0, count * sizeof *outcomes);
    if (!store || (count > 0 && (!requests || !outcomes)))
        return idem__batch_errors_refuse(&many, IDEM_ERR_ARGUMENT,
                                         "the store, the requests or the outcomes are NULL");
    if (count == 0)
        return IDEM_OK;
    if (requests->size < offsetof(idem_request, fingerprint) ||
        requests->size % _Alignof(idem_request) != 0)
        return idem__batch_errors_refuse(&many, IDEM_ERR_ARGUMENT,
                                         "the size of the requests is not set; make each with "
                                         "idem_request_init()");
    size_t portion_max = count < IDEM_BATCH_MAX ? count : IDEM_BATCH_MAX;
    one_of_many *begins = malloc(portion_max * sizeof *begins);
    if (!begins)
        return idem__batch_errors_refuse(&many, IDEM_ERR_NO_MEMORY, "out of memory");
    for (size_t first = 0; first < count; first += portion_max) {
        size_t size = count - first < portion_max ? count - first : portion_max;
        begin_portion(store, requests, first, size, outcomes, &many, begins);
    }
    free(begins);
    return many.code;
}
