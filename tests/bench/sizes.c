/* SPDX-License-Identifier: MIT */
/*
 * What work costs in stores that hold different numbers of records. All stores are filled first and
 * then measured in turn, round by round, so that what disturbs one disturbs the others too.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZES_MAX   10u
#define PLACE_SIZE  512u
#define FILL_BATCH  256u
#define WARM_UP_OPS 200u

typedef struct {
    const bench_subject *subject;
    bench_options options;
    char place[PLACE_SIZE];
    void *shared;
    void *mine;
    uint64_t random;
    uint64_t fresh;
} sized;

/* `{}` in the place stands for the store's number. */
static void name_place(sized *self, const char *pattern, size_t number)
{
    const char *mark = strstr(pattern, "{}");
    int len = mark ? snprintf(self->place, PLACE_SIZE, "%.*s%zu%s", (int)(mark - pattern), pattern,
                              number, mark + 2)
                   : snprintf(self->place, PLACE_SIZE, "%s", pattern);
    if (len < 0 || (size_t)len >= PLACE_SIZE)
        bench_fail("the place is too long");
}

static void fill(sized *self)
{
    bench_key keys[FILL_BATCH];
    uint64_t records = self->options.records;
    for (uint64_t at = 0; at < records;) {
        size_t count = 0;
        for (; count < FILL_BATCH && at < records; at++)
            keys[count++] = bench_key_record(self->options.seed, at, records);
        self->subject->work[BENCH_CYCLE](self->mine, keys, count);
    }
}

static void open_sized(sized *self, const bench_subject *subject, const bench_options *options,
                       size_t number, uint64_t records)
{
    self->subject = subject;
    self->options = *options;
    name_place(self, options->place, number);
    self->options.place = self->place;
    self->options.records = records;
    self->shared = subject->open(&self->options);
    self->mine = subject->enter ? subject->enter(self->shared) : self->shared;
    self->random = options->seed + number;
    self->fresh = 0;
    fill(self);
}

static void close_sized(sized *self)
{
    if (self->subject->leave)
        self->subject->leave(self->mine);
    self->subject->close(self->shared);
}

static void work(sized *self, uint64_t ops)
{
    const bench_options *options = &self->options;
    for (uint64_t i = 0; i < ops; i++) {
        bench_key key;
        if (options->mode == BENCH_REPLAY)
            key = bench_key_record(options->seed, bench_random(&self->random) % options->records,
                                   options->records);
        else
            key = bench_key_fresh(options->seed, self->fresh++);
        self->subject->work[options->mode](self->mine, &key, 1);
    }
}

static void measure(sized *self, uint64_t round)
{
    work(self, WARM_UP_OPS);
    uint64_t began_ns = bench_now_ns();
    work(self, self->options.ops);
    uint64_t took_ns = bench_now_ns() - began_ns;
    (void)printf("size=%llu round=%llu ns=%.2f\n", (unsigned long long)self->options.records,
                 (unsigned long long)round, (double)took_ns / (double)self->options.ops);
}

void bench_sizes(const bench_subject *subject, const bench_options *options)
{
    size_t count = 0;
    sized *stores = bench_alloc(SIZES_MAX * sizeof *stores);
    for (const char *at = options->sizes; *at;) {
        char *end;
        unsigned long long records = strtoull(at, &end, 10);
        if (records == 0 || (*end && *end != ',') || count == SIZES_MAX)
            bench_fail("%s: at most %u sizes, with commas between", options->sizes, SIZES_MAX);
        open_sized(&stores[count], subject, options, count, records);
        count++;
        at = *end ? end + 1 : end;
    }
    for (uint64_t round = 1; round <= options->rounds; round++) {
        for (size_t i = 0; i < count; i++)
            measure(&stores[round % 2 ? i : count - 1 - i], round);
    }
    for (size_t i = 0; i < count; i++)
        close_sized(&stores[i]);
    free(stores);
}
