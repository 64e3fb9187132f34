/* SPDX-License-Identifier: MIT */
/*
 * What a store costs that keeps many claims alive: `--beside` of them. A cycle begins a key whose
 * lease is kept as well, and completes it. In the mode `rest` nothing is done but renewing, and the
 * share of a processor is printed that this process takes for it.
 */
#include "harness.h"

#include <idem/idem.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LEASE_MS 30000u

typedef struct {
    idem_store *store;
    idem_outcome *kept;
    const bench_options *options;
} subject;

static idem_request request_of(const bench_key *key)
{
    idem_request request;
    idem_request_init(&request);
    request.key = (idem_bytes){key->text, BENCH_KEY_LEN};
    request.lease_ms = LEASE_MS;
    request.flags = IDEM_KEEPALIVE;
    return request;
}

static void begin(const subject *self, const bench_key *keys, size_t count, idem_outcome *outcomes)
{
    idem_request requests[BENCH_BATCH_MAX];
    idem_error error;
    for (size_t i = 0; i < count; i++)
        requests[i] = request_of(&keys[i]);
    if (idem_begin_many(self->store, requests, count, outcomes, NULL, &error))
        bench_fail("begin: %s", error.message);
}

static void *open_store(const bench_options *options)
{
    subject *self = bench_alloc(sizeof *self);
    bench_key keys[BENCH_BATCH_MAX];
    idem_error error;
    *self = (subject){.options = options};
    if (idem_open(options->place, &self->store, &error))
        bench_fail("%s", error.message);
    self->kept = bench_alloc((options->beside + 1) * sizeof *self->kept);
    for (uint64_t done = 0; done < options->beside;) {
        size_t count = 0;
        while (count < BENCH_BATCH_MAX && done + count < options->beside) {
            keys[count] = bench_key_fresh(~options->seed, done + count);
            count++;
        }
        begin(self, keys, count, self->kept + done);
        done += count;
    }
    return self;
}

static void close_store(void *shared)
{
    subject *self = shared;
    for (uint64_t i = 0; i < self->options->beside; i++)
        idem_outcome_clear(&self->kept[i]);
    idem_close(self->store);
    free(self->kept);
    free(self);
}

static void work_cycle(void *shared, const bench_key *keys, size_t count)
{
    const subject *self = shared;
    idem_outcome outcomes[BENCH_BATCH_MAX];
    idem_error error;
    begin(self, keys, count, outcomes);
    for (size_t i = 0; i < count; i++) {
        if (idem_complete(self->store, outcomes[i].claim, idem_str("1"), &error))
            bench_fail("complete: %s", error.message);
        idem_outcome_clear(&outcomes[i]);
    }
}

static uint64_t processor_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Called twice, the first time to warm up. */
static void work_rest(void *shared, const bench_key *keys, size_t count)
{
    static bool warm;
    const subject *self = shared;
    (void)keys, (void)count;
    if (!warm) {
        warm = true;
        return;
    }
    struct timespec pause = {.tv_sec = (time_t)self->options->rest_s};
    uint64_t began_ns = bench_now_ns();
    uint64_t used_ns = processor_ns();
    (void)nanosleep(&pause, NULL);
    used_ns = processor_ns() - used_ns;
    (void)printf("percent=%.2f ", 100.0 * (double)used_ns / (double)(bench_now_ns() - began_ns));
}

int main(int argc, char **argv)
{
    static const bench_subject kept = {
        .open = open_store,
        .close = close_store,
        .work = {[BENCH_CYCLE] = work_cycle, [BENCH_REST] = work_rest},
    };
    return bench_main(argc, argv, &kept);
}
