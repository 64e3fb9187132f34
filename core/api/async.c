/* SPDX-License-Identifier: MIT */
/*
 * The public calls of idem/async.h: submitting, dispatching, closing. The queue is in
 * engine/async_queue.c. Callbacks are run here alone, with no lock held.
 */
#include <idem/async.h>

#include "clock.h"
#include "error.h"
#include "fork.h"
#include "inside.h"
#include "async_queue.h"
#include "submitted.h"

#include <stdlib.h>

int idem_async_open(idem_store *store, idem_async **async, idem_error *error)
{
    idem__error_clear(error);
    if (!store || !async)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the store, or the place for the queue, is NULL");
    idem_async *made = malloc(sizeof *made);
    if (!made)
        return idem__error_no_memory(error);
    int rc = idem__queue_init(made, store, error);
    if (rc) {
        free(made);
        return rc;
    }
    rc = idem__fork_add_async(made, idem__clock_deadline(store->timeout_ms), error);
    if (rc == IDEM_OK) {
        *async = made;
        return rc;
    }
    idem__queue_destroy(made);
    free(made);
    return rc;
}

int idem_async_fd(const idem_async *async)
{
    return async ? async->fd : -1;
}

size_t idem_async_pending(const idem_async *async)
{
    return async ? atomic_load(&async->pending) : 0;
}

bool idem_async_cancel(idem_async *async, idem_async_call call)
{
    return async && !idem__inside_is_orphan() && idem__queue_cancel(async, call);
}

/* ----------------------------------------------------------------------------------- submitting */

static int check(const idem_async *async, bool has_callback, idem_error *error)
{
    idem__error_clear(error);
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error);
    if (async && has_callback)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "the queue or the callback is NULL");
}

/* A request that is not taken is undone as one that was cancelled: nobody is told. */
static int add(idem_async *async, idem__request *request, idem_async_call *call, idem_error *error)
{
    int rc = idem__queue_add(async, &request->flight, call, error);
    if (rc)
        idem__request_drop(async->store, request);
    return rc;
}

int idem_async_begin(idem_async *async, const idem_request *request, idem_async_begin_fn fn,
                     void *user, idem_async_call *call, idem_error *error)
{
    idem__request *made;
    int rc = check(async, fn != NULL, error);
    if (rc == IDEM_OK)
        rc = idem__request_begin(async->store, request, fn, user, &made, error);
    return rc ? rc : add(async, made, call, error);
}

static int submit_change(idem_async *async, const idem__change_request *change,
                         idem_async_change_fn fn, void *user, idem_async_call *call,
                         idem_error *error)
{
    idem__request *made;
    int rc = check(async, fn != NULL, error);
    if (rc == IDEM_OK)
        rc = idem__request_change(async->store, change, fn, user, &made, error);
    return rc ? rc : add(async, made, call, error);
}

int idem_async_complete(idem_async *async, idem_claim *claim, idem_bytes response,
                        idem_async_change_fn fn, void *user, idem_async_call *call,
                        idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_COMPLETE, .claim = claim, .text = response};
    return submit_change(async, &request, fn, user, call, error);
}

int idem_async_complete_bytes(idem_async *async, idem_claim *claim, idem_bytes response,
                              idem_async_change_fn fn, void *user, idem_async_call *call,
                              idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_COMPLETE,
                                    .claim = claim,
                                    .text = response,
                                    .encoding = IDEM_ENCODING_BYTES};
    return submit_change(async, &request, fn, user, call, error);
}

int idem_async_renew(idem_async *async, idem_claim *claim, uint64_t lease_ms,
                     idem_async_change_fn fn, void *user, idem_async_call *call, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_RENEW, .claim = claim, .lease_ms = lease_ms};
    return submit_change(async, &request, fn, user, call, error);
}

int idem_async_checkpoint(idem_async *async, idem_claim *claim, idem_bytes json,
                          idem_async_change_fn fn, void *user, idem_async_call *call,
                          idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_CHECKPOINT, .claim = claim, .text = json};
    return submit_change(async, &request, fn, user, call, error);
}

int idem_async_release(idem_async *async, idem_claim *claim, idem_async_change_fn fn, void *user,
                       idem_async_call *call, idem_error *error)
{
    idem__change_request request = {.kind = IDEM__CALL_RELEASE, .claim = claim};
    return submit_change(async, &request, fn, user, call, error);
}

/* ---------------------------------------------------------------------------------- dispatching */

/* Runs callbacks; the lock is held before and after. @return how many there were */
static size_t run_callbacks(idem_async *async, size_t limit)
{
    size_t count = 0;
    while (count < limit) {
        idem__flight *flight = idem__queue_take_done(async);
        if (!flight)
            break;
        idem__inside_unlock(&async->lock);
        flight->tell(async->store, flight);
        idem__inside_lock(&async->lock);
        count++;
    }
    return count;
}

/* Nothing is submitted any more, and what was not sent is answered. */
static size_t finish_close(idem_async *async)
{
    idem__queue_stop(async);
    idem__inside_lock(&async->lock);
    async->dispatching++; /* a callback may try to close once more */
    size_t count = run_callbacks(async, SIZE_MAX);
    idem__inside_unlock(&async->lock);
    idem__fork_remove_async(async);
    idem__queue_destroy(async);
    free(async);
    return count;
}

size_t idem_async_dispatch(idem_async *async, size_t limit)
{
    if (!async || idem__inside_is_orphan())
        return 0;
    idem__queue_work(async);
    idem__inside_lock(&async->lock);
    if (limit == 0)
        limit = async->done.count;
    async->dispatching++;
    async->dispatcher = pthread_self();
    size_t count = run_callbacks(async, limit);
    if (async->dispatching > 0) /* in the child of a fork() it may be none */
        async->dispatching--;
    bool last = async->closing && async->dispatching == 0;
    idem__inside_unlock(&async->lock);
    if (last)
        return count + finish_close(async);
    idem__queue_send(async);
    idem__queue_calm(async);
    return count;
}

void idem_async_close(idem_async *async)
{
    if (!async || idem__inside_is_orphan())
        return;
    idem__inside_lock(&async->lock);
    bool first = !async->closing;
    async->closing = true;
    idem__queue_cancel_all(async);
    bool now = first && async->dispatching == 0;
    idem__inside_unlock(&async->lock);
    if (now)
        (void)finish_close(async);
}
