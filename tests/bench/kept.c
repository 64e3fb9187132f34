/* SPDX-License-Identifier: MIT */
/* The library beside `records` claims that it keeps alive: a key is claimed, kept and completed. */
#include "harness.h"

#include <idem/idem.h>

#include <stdlib.h>

typedef struct {
    idem_store *store;
    idem_claim **kept;
    uint64_t count;
    idem_bytes response;
} subject;

static idem_claim *begin(const subject *self, const bench_key *key)
{
    idem_outcome outcome;
    idem_error error;
    idem_request request;
    idem_request_init(&request);
    request.key = (idem_bytes){key->text, BENCH_KEY_LEN};
    request.lease_ms = 30000;
    request.flags = IDEM_KEEPALIVE;
    if (idem_begin(self->store, &request, &outcome, &error))
        bench_fail("begin: %s", error.message);
    if (outcome.kind != IDEM_NEW)
        bench_fail("begin: outcome %d", (int)outcome.kind);
    idem_claim *claim = outcome.claim;
    outcome.claim = NULL;
    idem_outcome_clear(&outcome);
    return claim;
}

static void *open_store(const bench_options *options)
{
    subject *self = bench_alloc(sizeof *self);
    idem_error error;
    self->response = (idem_bytes){options->response, options->response_len};
    self->count = options->records;
    self->kept = bench_alloc((size_t)self->count * sizeof *self->kept);
    if (idem_open(options->place, &self->store, &error))
        bench_fail("%s", error.message);
    for (uint64_t i = 0; i < self->count; i++) {
        bench_key key = bench_key_record(options->seed + 1, i, self->count);
        self->kept[i] = begin(self, &key);
    }
    return self;
}

static void close_store(void *shared)
{
    subject *self = shared;
    for (uint64_t i = 0; i < self->count; i++)
        idem_claim_free(self->kept[i]);
    idem_close(self->store);
    free(self->kept);
    free(self);
}

static void work_cycle(void *shared, const bench_key *keys, size_t count)
{
    const subject *self = shared;
    idem_error error;
    for (size_t i = 0; i < count; i++) {
        idem_claim *claim = begin(self, &keys[i]);
        if (idem_complete(self->store, claim, self->response, &error))
            bench_fail("complete: %s", error.message);
        idem_claim_free(claim);
    }
}

int main(int argc, char **argv)
{
    static const bench_subject kept = {
        .open = open_store,
        .close = close_store,
        .work = {[BENCH_CYCLE] = work_cycle},
    };
    return bench_main(argc, argv, &kept);
}
