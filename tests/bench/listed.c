/* SPDX-License-Identifier: MIT */
/* Replays while another thread lists the whole store, over and over: what a scan holds others up
   for. With
   --latency the 99th percentile shows it too. */
#include "harness.h"

#include <idem/idem.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    idem_store *store;
    idem_bytes response;
    pthread_t lister;
    atomic_bool over;
} subject;

static int pass(const idem_record *record, void *user)
{
    const subject *self = user;
    (void)record;
    return atomic_load(&self->over);
}

static void *list(void *argument)
{
    subject *self = argument;
    idem_error error;
    while (!atomic_load(&self->over)) {
        if (idem_scan(self->store, NULL, pass, self, &error))
            bench_fail("scan: %s", error.message);
    }
    return NULL;
}

static void *open_store(const bench_options *options)
{
    subject *self = bench_alloc(sizeof *self);
    idem_error error;
    self->response = (idem_bytes){options->response, options->response_len};
    atomic_init(&self->over, false);
    if (idem_open(options->place, &self->store, &error))
        bench_fail("%s", error.message);
    if (pthread_create(&self->lister, NULL, list, self))
        bench_fail("no thread can be started");
    return self;
}

static void close_store(void *shared)
{
    subject *self = shared;
    atomic_store(&self->over, true);
    (void)pthread_join(self->lister, NULL);
    idem_close(self->store);
    free(self);
}

static void begin(const subject *self, const bench_key *key, idem_outcome *outcome)
{
    idem_error error;
    idem_request request;
    idem_request_init(&request);
    request.key = (idem_bytes){key->text, BENCH_KEY_LEN};
    if (idem_begin(self->store, &request, outcome, &error))
        bench_fail("begin: %s", error.message);
}

static void work_cycle(void *shared, const bench_key *keys, size_t count)
{
    const subject *self = shared;
    idem_outcome outcome;
    idem_error error;
    for (size_t i = 0; i < count; i++) {
        begin(self, &keys[i], &outcome);
        if (idem_complete(self->store, outcome.claim, self->response, &error))
            bench_fail("complete: %s", error.message);
        idem_outcome_clear(&outcome);
    }
}

static void work_replay(void *shared, const bench_key *keys, size_t count)
{
    const subject *self = shared;
    idem_outcome outcome;
    for (size_t i = 0; i < count; i++) {
        begin(self, &keys[i], &outcome);
        if (outcome.response.len != self->response.len)
            bench_fail("replay: a response of another length");
        idem_outcome_clear(&outcome);
    }
}

int main(int argc, char **argv)
{
    static const bench_subject listed = {
        .open = open_store,
        .close = close_store,
        .work = {[BENCH_CYCLE] = work_cycle, [BENCH_REPLAY] = work_replay},
    };
    return bench_main(argc, argv, &listed);
}
