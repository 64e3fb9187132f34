/* SPDX-License-Identifier: MIT */
/*
 * The ops of `idem bench`. A key is made from the numbers of run, thread and op, so that it can be
 * made again to be replayed or forgotten. The op's number is scattered: keys in ascending order
 * would save a tree most of its work. Memory for a step is allocated before the first.
 */
#include "bench_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LEASE_MS      60000u /* a claim's own, lest the store's keep it longer than its ttl says */
#define UNEXPECTED    0      /* as a kind of failure */
#define STRIDE        7919u  /* threads that replay begin so many keys apart */
#define PREPARE_BATCH 256u
#define CLEANERS      64u /* threads; a store answers many callers in fewer round trips */

typedef struct {
    cli_bench_run *run;
    unsigned thread;
    size_t batch;
    cli_bench_mode mode;
    char *keys; /* `batch` of them */
    idem_request *requests;
    idem_outcome *outcomes;
    idem_error *errors;
    idem_claim **claims;
    idem_bytes *responses;
    uint64_t made;
    cli_bench_failures failures;
} worker;

/* ------------------------------------------------------------------------------------ failures */

static void note(cli_bench_failures *failures, int code, uint64_t count, const char *message)
{
    int kind = code >= 0 && code < (int)CLI_BENCH_KINDS ? code : (int)IDEM_ERR_INTERNAL;
    if (count > 0 && failures->counts[kind] == 0)
        (void)snprintf(failures->messages[kind], sizeof failures->messages[kind], "%s", message);
    failures->counts[kind] += count;
}

static void merge_failures(cli_bench_failures *all, const cli_bench_failures *more)
{
    for (int kind = 0; kind < (int)CLI_BENCH_KINDS; kind++)
        note(all, kind, more->counts[kind], more->messages[kind]);
}

/* Notes what failed of a call. An error without one of an item is the whole call's. */
static size_t count_failed(worker *self, size_t count, const idem_error *error)
{
    size_t failed = 0;
    if (error->code == IDEM_OK)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (self->errors[i].code == IDEM_OK)
            continue;
        note(&self->failures, self->errors[i].code, 1, self->errors[i].message);
        failed++;
    }
    if (failed > 0)
        return failed;
    note(&self->failures, error->code, count, error->message);
    return count;
}

/* ---------------------------------------------------------------------------------------- keys */

/* Eight hexadecimal digits, all at once: printf() would cost as much as a claim in memory, and a
   loop a tenth of it. Their order is the machine's own; any will do. */
static void write_hex(char to[8], uint32_t value)
{
    uint64_t digits = value;
    digits = (digits | digits << 16) & UINT64_C(0x0000ffff0000ffff);
    digits = (digits | digits << 8) & UINT64_C(0x00ff00ff00ff00ff);
    digits = (digits | digits << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (digits + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    digits += UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10);
    memcpy(to, &digits, sizeof digits);
}

/* Gives every number another one: Sebastiano Vigna's SplitMix64 without its state. */
static uint64_t scatter(uint64_t number)
{
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

/* The key's last 16 digits, behind what all keys of the run have in common. */
static void number_key(char *key, unsigned thread, uint64_t op)
{
    uint64_t number = scatter((uint64_t)(thread + 1) << 48 | op);
    write_hex(key + CLI_BENCH_KEY_SIZE - 16, (uint32_t)(number >> 32));
    write_hex(key + CLI_BENCH_KEY_SIZE - 8, (uint32_t)number);
}

static void fill_key(const cli_bench_run *run, char *key)
{
    memset(key, '.', run->key_size);
    memcpy(key, CLI_BENCH_PREFIX, sizeof CLI_BENCH_PREFIX - 1);
    write_hex(key + sizeof CLI_BENCH_PREFIX - 1, run->number);
    key[sizeof CLI_BENCH_PREFIX + 7] = ':';
}

static void prepare_requests(worker *self, uint64_t first, size_t count)
{
    const cli_bench_run *run = self->run;
    for (size_t i = 0; i < count; i++) {
        uint64_t op = first + i;
        if (self->mode == CLI_BENCH_REPLAY)
            number_key(self->keys + i * run->key_size, 0,
                       (op + self->thread * (uint64_t)STRIDE) % run->keys);
        else
            number_key(self->keys + i * run->key_size, self->thread, op);
        self->errors[i].code = IDEM_OK;
        self->outcomes[i].kind = 0;
    }
}

/* --------------------------------------------------------------------------------------- steps */

static void begin_all(worker *self, size_t count, idem_error *error)
{
    idem_store *store = self->run->store;
    if (count == 1)
        (void)!idem_begin(store, self->requests, self->outcomes, error);
    else
        (void)!idem_begin_many(store, self->requests, count, self->outcomes, self->errors, error);
}

static void complete_all(worker *self, size_t count, idem_error *error)
{
    idem_store *store = self->run->store;
    for (size_t i = 0; i < count; i++)
        self->errors[i].code = IDEM_OK;
    if (count == 1)
        (void)idem_complete(store, self->claims[0], self->responses[0], error);
    else
        (void)idem_complete_many(store, self->claims, self->responses, count, self->errors, error);
}

/* Of the outcomes, how many are as they should be. */
static size_t count_expected(worker *self, size_t count)
{
    size_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        const idem_outcome *outcome = &self->outcomes[i];
        if (outcome->kind == (self->mode == CLI_BENCH_REPLAY ? IDEM_COMPLETED : IDEM_NEW))
            self->claims[expected++] = outcome->claim;
        else if (outcome->kind)
            note(&self->failures, UNEXPECTED, 1,
                 self->mode == CLI_BENCH_REPLAY
                     ? "a completed key was gone: does the store drop records, or somebody else? "
                       "see 'idem doctor'"
                     : "a new key was there already: does somebody else write below idem-bench: ?");
    }
    return expected;
}

static size_t step(void *argument, uint64_t first, size_t count)
{
    worker *self = argument;
    idem_error error;
    self->made = first + count;
    prepare_requests(self, first, count);
    begin_all(self, count, &error);
    (void)count_failed(self, count, &error);
    size_t succeeded = count_expected(self, count);
    if (self->mode == CLI_BENCH_CYCLE && succeeded > 0) {
        complete_all(self, succeeded, &error);
        succeeded -= count_failed(self, succeeded, &error);
    }
    for (size_t i = 0; i < count; i++) {
        if (self->outcomes[i].kind)
            idem_outcome_clear(&self->outcomes[i]);
    }
    return succeeded;
}

/* ------------------------------------------------------------------------------------- workers */

static void free_worker(worker *self)
{
    free(self->keys);
    free(self->requests);
    free(self->outcomes);
    free(self->errors);
    free(self->claims);
    free(self->responses);
    free(self);
}

static void end_worker(void *argument)
{
    worker *self = argument;
    if (self->mode != CLI_BENCH_REPLAY)
        self->run->made[self->thread] = self->made;
    merge_failures(&self->run->failures, &self->failures);
    free_worker(self);
}

static void fill_worker(worker *self)
{
    const cli_bench_run *run = self->run;
    for (size_t i = 0; i < self->batch; i++) {
        char *key = self->keys + i * run->key_size;
        fill_key(run, key);
        idem_request_init(&self->requests[i]);
        self->requests[i].key = (idem_bytes){key, run->key_size};
        self->requests[i].lease_ms = LEASE_MS;
        self->requests[i].ttl_ms = run->ttl_ms;
        self->responses[i] = run->response;
    }
}

static void *make_worker(cli_bench_run *run, unsigned thread, size_t batch, cli_bench_mode mode)
{
    worker *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->run = run;
    self->thread = thread;
    self->batch = batch;
    self->mode = mode;
    self->keys = malloc(batch * run->key_size);
    self->requests = calloc(batch, sizeof *self->requests);
    self->outcomes = calloc(batch, sizeof *self->outcomes);
    self->errors = calloc(batch, sizeof *self->errors);
    self->claims = calloc(batch, sizeof(idem_claim *));
    self->responses = calloc(batch, sizeof *self->responses);
    if (!self->keys || !self->requests || !self->outcomes || !self->errors || !self->claims ||
        !self->responses) {
        free_worker(self);
        return NULL;
    }
    fill_worker(self);
    return self;
}

/* ------------------------------------------------------------------------------------ measuring */

static void *start_measuring(void *user, unsigned thread)
{
    cli_bench_run *run = user;
    return make_worker(run, thread, run->batch, run->mode);
}

static void show_ops(void *user, double seconds, uint64_t ops)
{
    const cli_bench_run *run = user;
    if (run->progress)
        (void)fprintf(stderr, "\r%7.1f s %12" PRIu64 " ops %12.0f ops/s ", seconds, ops,
                      seconds > 0 ? (double)ops / seconds : 0);
}

static void wipe_progress(const cli_bench_run *run)
{
    if (run->progress)
        (void)fprintf(stderr, "\r%48s\r", "");
}

int cli_bench_measure(cli_bench_run *run, const cli_load_plan *plan, cli_load_result *result)
{
    cli_load_work work = {start_measuring, step, end_worker, show_ops, run};
    int code = cli_load_run(plan, &work, result);
    wipe_progress(run);
    return code;
}

/* ------------------------------------------------------------------------------------ preparing */

static size_t prepare_batch(const cli_bench_run *run)
{
    return run->keys < PREPARE_BATCH ? (size_t)run->keys : PREPARE_BATCH;
}

static void *start_preparing(void *user, unsigned thread)
{
    cli_bench_run *run = user;
    return make_worker(run, thread, prepare_batch(run), CLI_BENCH_CYCLE);
}

static void show_prepared(void *user, double seconds, uint64_t ops)
{
    const cli_bench_run *run = user;
    (void)seconds;
    if (run->progress)
        (void)fprintf(stderr, "\rpreparing %12" PRIu64 " of %" PRIu64 " keys ", ops, run->keys);
}

int cli_bench_prepare(cli_bench_run *run, cli_load_result *result)
{
    cli_load_plan plan = {
        .threads = 1, .batch = prepare_batch(run), .ops = run->keys, .failures_max = 1};
    cli_load_work work = {start_preparing, step, end_worker, show_prepared, run};
    int code = cli_load_run(&plan, &work, result);
    wipe_progress(run);
    return code;
}

/* ------------------------------------------------------------------------------------- cleaning */

typedef struct {
    cli_bench_run *run;
    unsigned thread;
    unsigned threads;
    idem_error error;
    char key[IDEM_KEY_MAX];
} cleaner;

uint64_t cli_bench_made(const cli_bench_run *run)
{
    uint64_t made = 0;
    for (unsigned i = 0; i < run->threads; i++)
        made += run->made[i];
    return made;
}

static unsigned cleaners(const cli_bench_run *run)
{
    uint64_t made = cli_bench_made(run);
    return made < CLEANERS ? (unsigned)made : CLEANERS;
}

static void *start_cleaning(void *user, unsigned thread)
{
    cleaner *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->run = user;
    self->thread = thread;
    self->threads = cleaners(user);
    fill_key(self->run, self->key);
    return self;
}

static size_t forget(void *argument, uint64_t first, size_t count)
{
    cleaner *self = argument;
    const cli_bench_run *run = self->run;
    unsigned thread = 0;
    uint64_t op = first * self->threads + self->thread;
    for (; op >= run->made[thread]; thread++)
        op -= run->made[thread];
    number_key(self->key, thread, op);
    if (idem_forget(run->store, (idem_bytes){self->key, run->key_size}, &self->error))
        return 0;
    return count;
}

static void end_cleaning(void *argument)
{
    cleaner *self = argument;
    if (self->error.code)
        self->run->clean_error = self->error;
    free(self);
}

static void show_cleaned(void *user, double seconds, uint64_t ops)
{
    const cli_bench_run *run = user;
    (void)seconds;
    if (run->progress)
        (void)fprintf(stderr, "\rremoving %12" PRIu64 " of %" PRIu64 " keys ", ops,
                      cli_bench_made(run));
}

int cli_bench_clean(cli_bench_run *run, cli_load_result *result)
{
    cli_load_plan plan = {
        .threads = cleaners(run), .batch = 1, .ops = cli_bench_made(run), .failures_max = 1};
    cli_load_work work = {start_cleaning, forget, end_cleaning, show_cleaned, run};
    int code = cli_load_run(&plan, &work, result);
    wipe_progress(run);
    return code;
}
