/* SPDX-License-Identifier: MIT */
/*
 * A job is a call that sleeps nowhere: where the blocking call would pause or wait, the job says
 * when it is due again. It belongs to the thread that has it in hand: SENT, to the one that carries
 * it out; ANSWERED and off its list, to the one that dispatches; else to the queue, under the
 * queue's lock.
 *
 * A change holds its claim by a reference, and marks it as in a call, until it is answered.
 */
#include "request.h"

#include "call.h"
#include "error.h"
#include "validate.h"
#include "store.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------ the input */

static const void *copy_in(char **at, const void *data, size_t len)
{
    char *copy = *at;
    if (len == 0)
        return NULL;
    memcpy(copy, data, len);
    *at += len;
    return copy;
}

static void ready(idem__request *job, idem__call *call)
{
    job->call = call;
    job->state = IDEM__REQUEST_QUEUED;
    job->expires_ms = call->deadline_ms;
    idem__protocol_start(call);
}

int idem__request_begin(idem_store *store, const idem_request *request, idem__request **job,
                    idem_error *error)
{
    idem_request read;
    int rc = idem__validate_request(store, request, &read, error);
    if (rc)
        return rc;
    /* A key that is too long is refused below, by a message that shows its beginning. */
    bool fits = read.key.data && read.key.len <= IDEM_KEY_MAX;
    size_t key_len = fits ? read.key.len : 0;
    idem__request *made = calloc(1, sizeof *made + key_len + read.fingerprint.len +
                                    (read.token ? IDEM_TOKEN_SIZE : 0));
    if (!made)
        return idem__error_no_memory(error);
    char *at = made->input;
    read.size = sizeof read;
    if (fits)
        read.key.data = copy_in(&at, read.key.data, key_len);
    read.fingerprint.data = copy_in(&at, read.fingerprint.data, read.fingerprint.len);
    if (read.token)
        read.token = copy_in(&at, read.token, IDEM_TOKEN_SIZE);
    rc = idem__begin_make(store, &read, &made->begin, error);
    if (rc) {
        free(made);
        return rc;
    }
    ready(made, &made->begin.call);
    *job = made;
    return IDEM_OK;
}

/* Ends what idem__change_make() began, as a call that failed before anything was sent. */
static void unmake(idem_store *store, idem__change *change)
{
    change->call.code = IDEM_ERR_NO_MEMORY;
    (void)idem__change_finish(store, change, NULL);
}

static int make_change(idem_store *store, const idem__change_request *request, idem__request *job,
                       idem_error *error)
{
    size_t len = request->text.len;
    /* By the exact clock: until it is sent, others may have their turns. */
    int rc = idem__change_make_at(store, request, idem_monotonic_ms(), &job->change, error);
    if (rc || len == 0)
        return rc;
    job->text = malloc(len);
    if (!job->text) {
        unmake(store, &job->change);
        return idem__error_no_memory(error);
    }
    memcpy(job->text, request->text.data, len);
    job->change.call.text = (idem_bytes){job->text, len};
    return IDEM_OK;
}

int idem__request_change(idem_store *store, const idem__change_request *request, idem__request **job,
                     idem_error *error)
{
    idem_claim *claim = request->claim;
    if (claim && atomic_exchange(&claim->in_call, true))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "another call on this claim is under way; wait for its answer");
    int rc = IDEM_ERR_NO_MEMORY;
    idem__request *made = calloc(1, sizeof *made);
    if (made)
        rc = make_change(store, request, made, error);
    else
        (void)idem__error_no_memory(error);
    if (rc) {
        if (claim)
            atomic_store(&claim->in_call, false);
        free(made);
        return rc;
    }
    (void)atomic_fetch_add(&claim->refs, 1);
    ready(made, &made->change.call);
    *job = made;
    return IDEM_OK;
}

/* ----------------------------------------------------------------------------------- the answer */

/* Lets go of the claim. It is free for the next call before its owner is told. */
static void let_go(idem__request *job)
{
    idem_claim *claim = job->change.claim;
    job->change.claim = NULL;
    atomic_store(&claim->in_call, false);
    idem__claim_drop(claim);
}

static void answer(idem_store *store, idem__request *job)
{
    if (job->begun) {
        (void)idem__begin_report(store, &job->begin, &job->outcome, &job->error);
        idem__begin_clear(&job->begin);
    } else {
        (void)idem__change_finish(store, &job->change, &job->error);
        let_go(job);
    }
}

static void give_up(idem_store *store, idem__request *job, const char *why)
{
    idem_op_fail(&job->call->op, false, IDEM_ERR_UNAVAILABLE, "%s", why);
    idem__protocol_give_up(job->call);
    answer(store, job);
}

/* A begin that waits is done as far as the protocol knows: its next look is what ends. */
static void begin_anew(const idem_store *store, idem__request *job)
{
    job->waits = false;
    idem__begin_look_again(store, &job->begin);
    idem__protocol_start(job->call);
}

/* Of a try that would have been repeated, the error is not the answer. */
static void end_cancelled(idem_store *store, idem__request *job, const char *why)
{
    if (job->waits)
        begin_anew(store, job);
    idem__error_clear(&job->call->op.error);
    give_up(store, job, why);
}

void idem__request_cancel(idem_store *store, idem__request *job, const char *why)
{
    end_cancelled(store, job, why);
    job->state = IDEM__REQUEST_DONE;
}

void idem__request_expire(idem_store *store, idem__request *job)
{
    if (job->waits)
        begin_anew(store, job);
    give_up(store, job,
            "the store was busy with other calls until the deadline; call again, or set a longer "
            "timeout");
    job->state = IDEM__REQUEST_DONE;
}

/* ------------------------------------------------------------------------------------ the steps */

static idem__request_state wait_for_key(const idem_store *store, idem__request *job)
{
    const idem_request *request = &job->begin.request;
    job->waits = true;
    job->due_ms = job->begin.look_at_ms;
    job->expires_ms =
        job->begin.wait_until_ms + (request->timeout_ms ? request->timeout_ms : store->timeout_ms);
    return IDEM__REQUEST_DELAYED;
}

static idem__request_state pause_before_repeat(idem_store *store, idem__request *job, uint64_t now)
{
    idem__call_tell_retry(store, job->call);
    job->due_ms = idem__call_repeat_at(&job->pause_ms, now, job->call->deadline_ms);
    job->expires_ms = job->call->deadline_ms;
    return IDEM__REQUEST_DELAYED;
}

static idem__request_state go_on(idem_store *store, idem__request *job, bool pause)
{
    uint64_t now = idem_monotonic_ms();
    if (atomic_load(&job->no_further))
        end_cancelled(store, job, "the call was cancelled before it was done");
    else if (idem__call_end_late(store, job->call, pause, now))
        answer(store, job);
    else
        return pause ? pause_before_repeat(store, job, now) : IDEM__REQUEST_QUEUED;
    return IDEM__REQUEST_DONE;
}

idem__request_state idem__request_step(idem_store *store, idem__request *job)
{
    idem__step step = idem__protocol_answer(job->call);
    if (step != IDEM__STEP_DONE)
        return go_on(store, job, step == IDEM__STEP_AGAIN);
    if (job->begun && !atomic_load(&job->no_further) && idem__begin_waits(&job->begin))
        return wait_for_key(store, job);
    answer(store, job);
    return IDEM__REQUEST_DONE;
}

void idem__request_resume(const idem_store *store, idem__request *job)
{
    if (job->waits)
        begin_anew(store, job);
    else
        idem__protocol_again(job->call);
    job->state = IDEM__REQUEST_QUEUED;
    job->expires_ms = job->call->deadline_ms;
}

/* -------------------------------------------------------------------------------------- the end */

void idem__request_tell(idem__request *job)
{
    if (job->begun)
        job->begun(job->user, &job->outcome, &job->error);
    else
        job->changed(job->user, &job->error);
    memset(&job->outcome, 0, sizeof job->outcome); /* the callback's */
    idem__request_free(job);
}

void idem__request_disown(idem__request *job)
{
    if (job->begun || job->state == IDEM__REQUEST_DONE)
        return;
    job->change.claim->ending = false;
    job->change.claim->given_back = false;
    atomic_store(&job->change.claim->in_call, false);
}

void idem__request_free(idem__request *job)
{
    if (job->state == IDEM__REQUEST_DONE) {
        idem_outcome_clear(&job->outcome);
    } else if (job->begun) {
        idem__begin_clear(&job->begin);
    } else {
        idem__change_abandon(&job->change);
    }
    free(job->text);
    free(job);
}
