/* SPDX-License-Identifier: MIT */
/*
 * A submitted call as its owner sees it. The engine takes the flight through; what it comes to is
 * put here, and told by the thread that dispatches. A change holds its claim by a reference, and
 * marks it as in a call, until it is done.
 */
#include "submitted.h"

#include "error.h"
#include "store.h"
#include "validate.h"

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

/* Ends what idem__change_make() began, as a call that failed before anything was sent. */
static void unmake(idem_store *store, idem__change *change)
{
    change->call.code = IDEM_ERR_NO_MEMORY;
    (void)idem__change_finish(store, change, NULL);
}

static int make_change(idem_store *store, const idem__change_request *request, idem__request *made,
                       idem_error *error)
{
    size_t len = request->text.len;
    idem_bytes key = {NULL, 0}; /* the hook is told of it when the claim may be gone */
    /* By the exact clock: until it is sent, others may have their turns. */
    int rc = idem__change_make_at(store, request, idem_monotonic_ms(), &made->change, error);
    if (rc == IDEM_OK && store->on_event)
        key = idem__stats_key(store, &made->change.call);
    if (rc || len + key.len == 0)
        return rc;
    made->memory = malloc(len + key.len);
    if (!made->memory) {
        unmake(store, &made->change);
        return idem__error_no_memory(error);
    }
    char *at = made->memory;
    made->change.call.text = (idem_bytes){copy_in(&at, request->text.data, len), len};
    made->key = (idem_bytes){copy_in(&at, key.data, key.len), key.len};
    return IDEM_OK;
}

/* ----------------------------------------------------------------------------------- the answer */

static idem__request *of(idem__flight *flight)
{
    return (idem__request *)(void *)flight;
}

/* The claim is free for the next call before its owner is told. */
static void let_go(idem__request *request)
{
    idem_claim *claim = request->change.claim;
    request->change.claim = NULL;
    atomic_store(&claim->in_call, false);
    idem__claim_drop(claim);
}

static void finish(idem_store *store, idem__flight *flight)
{
    idem__request *request = of(flight);
    if (request->begun) {
        (void)idem__begin_report(store, &request->begin, &request->outcome, &request->error);
        idem__begin_clear(&request->begin);
    } else {
        (void)idem__change_finish(store, &request->change, &request->error);
        let_go(request);
    }
    for (size_t i = 0; i < request->events.count; i++) /* the claim may be gone when it is told */
        request->events.list[i].key = request->key;
}

static void tell_hook(const idem_store *store, const idem__request *request)
{
    for (size_t i = 0; i < request->events.count; i++)
        idem__stats_tell(store, NULL, request->events.list[i]);
}

static void free_request(idem__flight *flight)
{
    idem__request *request = of(flight);
    if (flight->state == IDEM__FLIGHT_DONE)
        idem_outcome_clear(&request->outcome);
    else if (request->begun)
        idem__begin_clear(&request->begin);
    else
        idem__change_abandon(&request->change);
    free(request->memory);
    free(request);
}

static void tell(idem_store *store, idem__flight *flight)
{
    idem__request *request = of(flight);
    tell_hook(store, request);
    if (request->begun)
        request->begun(request->user, &request->outcome, &request->error);
    else
        request->changed(request->user, &request->error);
    memset(&request->outcome, 0, sizeof request->outcome); /* the callback's */
    free_request(flight);
}

static void disown(idem__flight *flight)
{
    idem__request *request = of(flight);
    if (request->begun || flight->state == IDEM__FLIGHT_DONE)
        return;
    request->change.claim->ending = false;
    request->change.claim->given_back = false;
    atomic_store(&request->change.claim->in_call, false);
}

/* --------------------------------------------------------------------------------------- making */

static void start(idem__request *request, idem__call *call)
{
    request->flight.call = call;
    call->events = &request->events;
    request->flight.finish = finish;
    request->flight.tell = tell;
    request->flight.disown = disown;
    request->flight.free = free_request;
    request->flight.state = IDEM__FLIGHT_QUEUED;
    idem__protocol_start(call);
}

/* A key that is too long is refused by idem__begin_make(), by a message that shows its beginning:
   its bytes are not copied. */
static idem__request *copy_input(idem_request *read)
{
    bool fits = read->key.data && read->key.len <= IDEM_KEY_MAX;
    size_t key_len = fits ? read->key.len : 0;
    idem__request *made = calloc(1, sizeof *made + key_len + read->fingerprint.len +
                                        (read->token ? IDEM_TOKEN_SIZE : 0));
    if (!made)
        return NULL;
    char *at = made->input;
    read->size = sizeof *read;
    if (fits)
        read->key.data = copy_in(&at, read->key.data, key_len);
    made->key = (idem_bytes){read->key.data, key_len};
    read->fingerprint.data = copy_in(&at, read->fingerprint.data, read->fingerprint.len);
    if (read->token)
        read->token = copy_in(&at, read->token, IDEM_TOKEN_SIZE);
    return made;
}

int idem__request_begin(idem_store *store, const idem_request *request, idem_async_begin_fn fn,
                        void *user, idem__request **made, idem_error *error)
{
    idem_request read;
    int rc = idem__validate_request(store, request, &read, error);
    if (rc)
        return rc;
    idem__request *copy = copy_input(&read);
    if (!copy)
        return idem__error_no_memory(error);
    rc = idem__begin_make(store, &read, &copy->begin, error);
    if (rc) {
        free(copy);
        return rc;
    }
    copy->begun = fn;
    copy->user = user;
    start(copy, &copy->begin.call);
    *made = copy;
    return IDEM_OK;
}

/* The claim is this call's already. */
static int make_held_change(idem_store *store, const idem__change_request *change,
                            idem__request **made, idem_error *error)
{
    idem__request *request = calloc(1, sizeof *request);
    if (!request)
        return idem__error_no_memory(error);
    int rc = make_change(store, change, request, error);
    if (rc)
        free(request);
    else
        *made = request;
    return rc;
}

int idem__request_change(idem_store *store, const idem__change_request *change,
                         idem_async_change_fn fn, void *user, idem__request **made,
                         idem_error *error)
{
    idem_claim *claim = change->claim;
    if (claim && atomic_exchange(&claim->in_call, true))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "another call on this claim is under way; wait for its answer");
    int rc = make_held_change(store, change, made, error);
    if (rc) {
        if (claim)
            atomic_store(&claim->in_call, false);
        return rc;
    }
    (void)atomic_fetch_add(&claim->refs, 1);
    (*made)->changed = fn;
    (*made)->user = user;
    start(*made, &(*made)->change.call);
    return IDEM_OK;
}

void idem__request_drop(idem_store *store, idem__request *request)
{
    idem__flight *flight = &request->flight;
    idem__call_cancel(store, flight->call, "");
    finish(store, flight);
    tell_hook(store, request);
    flight->state = IDEM__FLIGHT_DONE;
    free_request(flight);
}
