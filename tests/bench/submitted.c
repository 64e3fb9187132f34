/* SPDX-License-Identifier: MIT */
/*
 * The library's submitted calls, from one thread: so many in flight, or one at a time. A key counts
 * when it is submitted; as many were in flight when the measurement began as when it ends.
 */
#include "harness.h"

#include <idem/async.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define WAITED_KEYS 1000u /* that the waiting calls wait for */
#define WAIT_MS     600000u

typedef struct {
    idem_store *store;
    idem_async *async;
    const bench_options *options;
    uint64_t in_flight; /* those that are measured */
} subject;

static void dispatch(subject *self)
{
    struct pollfd entry = {.fd = idem_async_fd(self->async), .events = POLLIN};
    if (idem_async_dispatch(self->async, 0) == 0)
        (void)poll(&entry, 1, -1);
}

static void claimed(void *user, idem_outcome *outcome, const idem_error *error)
{
    subject *self = user;
    if (error->code || outcome->kind != IDEM_NEW)
        bench_fail("submitted begin: %s", error->code ? error->message : "the key was there");
    idem_outcome_clear(outcome);
    self->in_flight--;
}

/* Those that wait are answered by the end of the program alone. */
static void waited(void *user, idem_outcome *outcome, const idem_error *error)
{
    (void)user, (void)error;
    idem_outcome_clear(outcome);
}

static void submit(subject *self, bench_key key, uint64_t wait_ms, idem_async_begin_fn fn)
{
    idem_request request;
    idem_error error;
    idem_request_init(&request);
    request.key = (idem_bytes){key.text, BENCH_KEY_LEN};
    request.wait_ms = wait_ms;
    if (idem_async_begin(self->async, &request, fn, self, NULL, &error))
        bench_fail("submit: %s", error.message);
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    subject *self = mine;
    for (size_t i = 0; i < count; i++) {
        submit(self, keys[i], 0, claimed);
        self->in_flight++;
        while (self->in_flight >= self->options->window)
            dispatch(self);
    }
}

/* Claims the keys that are waited for. Nobody else answers for them. */
static void hold_keys(subject *self)
{
    idem_error error;
    idem_outcome outcome;
    for (uint64_t i = 0; i < WAITED_KEYS; i++) {
        bench_key key = bench_key_record(self->options->seed, i, WAITED_KEYS);
        idem_request request;
        idem_request_init(&request);
        request.key = (idem_bytes){key.text, BENCH_KEY_LEN};
        request.lease_ms = WAIT_MS;
        if (idem_begin(self->store, &request, &outcome, &error))
            bench_fail("begin: %s", error.message);
        idem_outcome_clear(&outcome);
    }
}

static void *open_queue(const bench_options *options)
{
    subject *self = bench_alloc(sizeof *self);
    idem_error error;
    *self = (subject){.options = options};
    if (idem_open(options->place, &self->store, &error) ||
        idem_async_open(self->store, &self->async, &error))
        bench_fail("%s", error.message);
    if (options->beside > 0)
        hold_keys(self);
    for (uint64_t i = 0; i < options->beside; i++)
        submit(self, bench_key_record(options->seed, i % WAITED_KEYS, WAITED_KEYS), WAIT_MS,
               waited);
    return self;
}

static void close_queue(void *shared)
{
    subject *self = shared;
    while (self->in_flight > 0)
        dispatch(self);
    if (self->options->beside > 0)
        return; /* the end of the program is quicker */
    idem_async_close(self->async);
    idem_close(self->store);
    free(self);
}

int main(int argc, char **argv)
{
    static const bench_subject submitted = {
        .open = open_queue,
        .close = close_queue,
        .work = {[BENCH_CLAIM] = work_claim},
    };
    return bench_main(argc, argv, &submitted);
}
