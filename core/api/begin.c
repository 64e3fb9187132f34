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

#define FIRST_WAIT_PAUSE_MS 4u
#define WAIT_PAUSE_LIMIT_MS 250u

/* ------------------------------------------------------------------------------- from a request */

static void set_deadlines(const idem_store *store, idem__begin *begin, uint64_t now)
{
    const idem_request *request = &begin->request;
    begin->wait_until_ms = now + request->wait_ms;
    idem__call_set_time(&begin->call, now,
                         request->timeout_ms ? request->timeout_ms : store->timeout_ms);
    idem__stats_start(store->timed, &begin->call);
}

static int ask(idem_store *store, idem__begin *begin, uint64_t now, idem_error *error)
{
    const idem_request *request = &begin->request;
    idem__call *call = &begin->call;
    idem__call_init(call, IDEM__CALL_BEGIN, begin->claim->held.key);
    call->no_takeover = (request->flags & IDEM_NO_TAKEOVER) != 0;
    call->read_first = idem__read_first(store);
    call->fingerprint = request->fingerprint;
    call->lease_ms = request->lease_ms ? request->lease_ms : store->lease_ms;
    call->ttl_ms = request->ttl_ms ? request->ttl_ms : store->ttl_ms;
    begin->pause_ms = FIRST_WAIT_PAUSE_MS;
    set_deadlines(store, begin, now);
    if (!request->token)
        return idem__random_draw(store->pooled, call->token, IDEM_TOKEN_SIZE, call->deadline_ms,
                                 error);
    memcpy(call->token, request->token, IDEM_TOKEN_SIZE);
    return IDEM_OK;
}

static int check(const idem_store *store, const idem_request *request, idem__begin *begin,
                 idem_error *error)
{
    int rc = idem__validate_request(store, request, &begin->request, error);
    return rc ? rc : idem__call_key_check(begin->request.key, error);
}

/* All but the keepalive's thread, for a request that was checked. */
static int prepare(idem_store *store, uint64_t now, idem__begin *begin, idem_error *error)
{
    const idem_request *read = &begin->request;
    /* Before anything is sent: for a claim that was made there has to be an object. */
    int rc = idem__claim_new(store, read->key, read->fingerprint, &begin->claim, error);
    if (rc)
        return rc;
    rc = ask(store, begin, now, error);
    if (rc)
        idem__claim_drop(begin->claim);
    return rc;
}

/* Before anything is sent that can make a claim, likewise. Drops the claim's object if it fails. */
static int keep(idem_store *store, idem__begin *begin, idem_error *error)
{
    if (!(begin->request.flags & IDEM_KEEPALIVE))
        return IDEM_OK;
    int rc = idem__keepalive_start(&store->keeper, error);
    if (rc)
        idem__claim_drop(begin->claim);
    return rc;
}

int idem__begin_make_at(idem_store *store, const idem_request *request, uint64_t now,
                        idem__begin *begin, idem_error *error)
{
    int rc = check(store, request, begin, error);
    if (rc == IDEM_OK)
        rc = prepare(store, now, begin, error);
    return idem__stats_refused(store, IDEM__CALL_BEGIN, rc ? rc : keep(store, begin, error));
}

int idem__begin_make(idem_store *store, const idem_request *request, idem__begin *begin,
                     idem_error *error)
{
    return idem__begin_make_at(store, request, idem_monotonic_ms(), begin, error);
}

/* ------------------------------------------------------------------------------------- waiting */

bool idem__begin_waits(idem__begin *begin)
{
    const idem__call *call = &begin->call;
    if (call->code != IDEM_OK || call->outcome != IDEM_IN_PROGRESS || begin->request.wait_ms == 0)
        return false;
    uint64_t now = idem_monotonic_ms();
    if (now >= begin->wait_until_ms)
        return false;
    uint64_t pause = idem__call_backoff(&begin->pause_ms, WAIT_PAUSE_LIMIT_MS);
    if (pause > call->retry_after_ms + 1)
        pause = call->retry_after_ms + 1;
    begin->look_at_ms = now + pause < begin->wait_until_ms ? now + pause : begin->wait_until_ms;
    return true;
}

void idem__begin_look_again(const idem_store *store, idem__begin *begin)
{
    uint64_t wait_until_ms = begin->wait_until_ms;
    uint64_t timeout_ms = begin->request.timeout_ms ? begin->request.timeout_ms : store->timeout_ms;
    idem__protocol_clear(&begin->call);
    begin->call.read_first = store->read_first; /* by now it is known that something is there */
    set_deadlines(store, begin, idem_monotonic_ms());
    begin->wait_until_ms = wait_until_ms;
    if (begin->call.deadline_ms > wait_until_ms + timeout_ms)
        begin->call.deadline_ms = wait_until_ms + timeout_ms;
}

/* -------------------------------------------------------------------------------- to an outcome */

/* Makes the claim that begin made the caller's. */
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

/* Of an instant store nothing is repeated, so that nearly any deadline will do. */
static uint64_t time_of_begin(const idem_store *store, const idem_request *request)
{
    return store->in_process && request->wait_ms == 0 ? idem_monotonic_coarse_ms()
                                                   : idem_monotonic_ms();
}

/* @return as keep(); nothing has to be cleared then */
static int drive_one(idem_store *store, idem__begin *begin, idem_error *error)
{
    idem__call *call = &begin->call;
    if (idem__read_first_answers(store, begin))
        return IDEM_OK;
    int rc = keep(store, begin, error);
    if (rc == IDEM_OK)
        idem__call_run(store, &call, 1);
    return rc;
}

int idem_begin(idem_store *store, const idem_request *request, idem_outcome *outcome,
               idem_error *error)
{
    idem__begin begin;
    idem__error_clear(error);
    if (outcome)
        memset(outcome, 0, sizeof *outcome);
    if (!store || !outcome)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the outcome is NULL");
    int rc = check(store, request, &begin, error);
    if (rc)
        return idem__stats_refused(store, IDEM__CALL_BEGIN, rc);
    if (idem__read_first_replay(store, &begin.request, outcome))
        return IDEM_OK;
    rc = prepare(store, time_of_begin(store, &begin.request), &begin, error);
    if (rc)
        return idem__stats_refused(store, IDEM__CALL_BEGIN, rc);
    rc = drive_one(store, &begin, error);
    while (rc == IDEM_OK && idem__begin_waits(&begin)) {
        idem__clock_sleep_until(begin.look_at_ms);
        idem__begin_look_again(store, &begin);
        rc = drive_one(store, &begin, error);
    }
    if (rc)
        return idem__stats_refused(store, IDEM__CALL_BEGIN, rc);
    rc = idem__begin_report(store, &begin, outcome, error);
    idem__begin_clear(&begin);
    return rc;
}

/* A part of a batch: begins that are driven together, and where their answers go. */
typedef struct {
    idem__begin *begins[IDEM_BATCH_MAX]; /* those that are not answered */
    size_t index[IDEM_BATCH_MAX];        /* of each in the caller's arrays */
    size_t count;
    uint8_t context; /* of the whole batch, for the backend: one call of the caller's */
} portion;

static void drive_portion(idem_store *store, portion *part)
{
    idem__call *calls[IDEM_BATCH_MAX];
    for (size_t i = 0; i < part->count; i++) {
        calls[i] = &part->begins[i]->call;
        calls[i]->context = part->context;
    }
    idem__call_run(store, calls, part->count);
    part->context = calls[0]->context;
}

/* Answers those that are done, and waits for the first of the others. */
static void answer_portion(idem_store *store, portion *part, idem_outcome *outcomes,
                           idem__batch_errors *many)
{
    uint64_t look_at_ms = UINT64_MAX;
    size_t waiting = 0;
    for (size_t i = 0; i < part->count; i++) {
        idem__begin *begin = part->begins[i];
        size_t index = part->index[i];
        if (idem__begin_waits(begin)) {
            look_at_ms = begin->look_at_ms < look_at_ms ? begin->look_at_ms : look_at_ms;
            part->index[waiting] = index;
            part->begins[waiting++] = begin;
            continue;
        }
        (void)idem__begin_report(store, begin, &outcomes[index], idem__batch_errors_error(many, index));
        idem__batch_errors_settle(many, index);
        idem__begin_clear(begin);
    }
    part->count = waiting;
    if (waiting == 0)
        return;
    idem__clock_sleep_until(look_at_ms);
    for (size_t i = 0; i < waiting; i++)
        idem__begin_look_again(store, part->begins[i]);
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
                          size_t count, idem_outcome *outcomes, idem__batch_errors *many,
                          idem__begin *begins)
{
    portion part;
    part.count = 0;
    part.context = many->context;
    uint64_t now = idem_monotonic_ms();
    for (size_t i = first; i < first + count; i++) {
        idem__begin *begin = &begins[i - first];
        if (make_one(store, request_at(requests, i), requests->size, now, begin,
                     idem__batch_errors_error(many, i))) {
            idem__batch_errors_settle(many, i);
            continue;
        }
        part.index[part.count] = i;
        part.begins[part.count++] = begin;
    }
    while (part.count > 0) {
        drive_portion(store, &part);
        answer_portion(store, &part, outcomes, many);
    }
    many->context = part.context;
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
    idem__begin *begins = malloc(portion_max * sizeof *begins);
    if (!begins)
        return idem__batch_errors_refuse(&many, IDEM_ERR_NO_MEMORY, "out of memory");
    for (size_t first = 0; first < count; first += portion_max) {
        size_t size = count - first < portion_max ? count - first : portion_max;
        begin_portion(store, requests, first, size, outcomes, &many, begins);
    }
    free(begins);
    return many.code;
}
