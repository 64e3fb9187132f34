/* SPDX-License-Identifier: MIT */
/*
 * The library, as its users call it: one store for all callers of a process. The place is a URL.
 * With --beside so many more callers are at work that are not measured, and whose calls may take
 * 3 ms only: what is measured shall not pay for their haste.
 */
#include "harness.h"

#include <idem/idem.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HASTY_MAX 16u
#define HASTY_MS  3u

typedef struct {
    idem_store *store;
    idem_bytes response;
    uint64_t seed;
    uint64_t hasty_count;
    pthread_t hasty[HASTY_MAX];
    atomic_uint numbers; /* given to them */
    atomic_bool over;
} subject;

static void *hurry(void *shared)
{
    subject *self = shared;
    uint64_t number = (uint64_t)(self->numbers++ + 1) << 50;
    while (!self->over) {
        bench_key key = bench_key_fresh(self->seed, number++);
        idem_outcome outcome;
        idem_error error;
        idem_request request;
        idem_request_init(&request);
        request.key = (idem_bytes){key.text, BENCH_KEY_LEN};
        request.timeout_ms = HASTY_MS;
        if (idem_begin(self->store, &request, &outcome, &error))
            continue; /* as it nearly always will */
        idem_outcome_clear(&outcome);
    }
    return NULL;
}

static void *open_store(const bench_options *options)
{
    subject *self = bench_alloc(sizeof *self);
    idem_error error;
    *self = (subject){.response = {options->response, options->response_len},
                      .seed = options->seed,
                      .hasty_count = options->beside};
    if (idem_open(options->place, &self->store, &error))
        bench_fail("%s", error.message);
    if (self->hasty_count > HASTY_MAX)
        bench_fail("no more than %u hasty callers", HASTY_MAX);
    for (uint64_t i = 0; i < self->hasty_count; i++) {
        if (pthread_create(&self->hasty[i], NULL, hurry, self))
            bench_fail("no thread can be started");
    }
    return self;
}

static void close_store(void *shared)
{
    subject *self = shared;
    self->over = true;
    for (uint64_t i = 0; i < self->hasty_count; i++)
        (void)pthread_join(self->hasty[i], NULL);
    idem_close(self->store);
    free(self);
}

static idem_request request_of(const bench_key *key)
{
    idem_request request;
    idem_request_init(&request);
    request.key = (idem_bytes){key->text, BENCH_KEY_LEN};
    return request;
}

static void begin(const subject *self, const bench_key *keys, size_t count,
                  idem_outcome_kind expected, idem_outcome *outcomes)
{
    idem_request requests[BENCH_BATCH_MAX];
    idem_error error;
    for (size_t i = 0; i < count; i++)
        requests[i] = request_of(&keys[i]);
    int rc = count == 1 ? idem_begin(self->store, requests, outcomes, &error)
                        : idem_begin_many(self->store, requests, count, outcomes, NULL, &error);
    if (rc)
        bench_fail("begin: %s", error.message);
    for (size_t i = 0; i < count; i++) {
        if (outcomes[i].kind != expected)
            bench_fail("begin: outcome %d in place of %d", (int)outcomes[i].kind, (int)expected);
    }
}

static void complete(const subject *self, const idem_outcome *outcomes, size_t count)
{
    idem_claim *claims[BENCH_BATCH_MAX];
    idem_bytes responses[BENCH_BATCH_MAX];
    idem_error error;
    for (size_t i = 0; i < count; i++) {
        claims[i] = outcomes[i].claim;
        responses[i] = self->response;
    }
    int rc = count == 1 ? idem_complete(self->store, claims[0], self->response, &error)
                        : idem_complete_many(self->store, claims, responses, count, NULL, &error);
    if (rc)
        bench_fail("complete: %s", error.message);
}

static void clear(idem_outcome *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        idem_outcome_clear(&outcomes[i]);
}

static void work_claim(void *shared, const bench_key *keys, size_t count)
{
    idem_outcome outcomes[BENCH_BATCH_MAX];
    begin(shared, keys, count, IDEM_NEW, outcomes);
    clear(outcomes, count);
}

static void work_cycle(void *shared, const bench_key *keys, size_t count)
{
    idem_outcome outcomes[BENCH_BATCH_MAX];
    begin(shared, keys, count, IDEM_NEW, outcomes);
    complete(shared, outcomes, count);
    clear(outcomes, count);
}

static void work_replay(void *shared, const bench_key *keys, size_t count)
{
    const subject *self = shared;
    idem_outcome outcomes[BENCH_BATCH_MAX];
    begin(self, keys, count, IDEM_COMPLETED, outcomes);
    for (size_t i = 0; i < count; i++) {
        if (outcomes[i].response.len != self->response.len)
            bench_fail("replay: a response of another length");
    }
    clear(outcomes, count);
}

static void work_turn(void *shared, const bench_key *keys, size_t count)
{
    const subject *self = shared;
    idem_outcome outcomes[BENCH_BATCH_MAX];
    idem_error error;
    begin(self, keys, count, IDEM_NEW, outcomes);
    for (size_t i = 0; i < count; i++) {
        if (idem_release(self->store, outcomes[i].claim, &error))
            bench_fail("release: %s", error.message);
    }
    clear(outcomes, count);
}

int main(int argc, char **argv)
{
    static const bench_subject library = {
        .open = open_store,
        .close = close_store,
        .work = {[BENCH_CLAIM] = work_claim,
                 [BENCH_CYCLE] = work_cycle,
                 [BENCH_REPLAY] = work_replay,
                 [BENCH_TURN] = work_turn},
    };
    return bench_main(argc, argv, &library);
}
