/* SPDX-License-Identifier: MIT */
/*
 * `idem bench`: measures a store from here. Every op has a key of its own, but for replays, which
 * read keys that were completed before. What it leaves behind expires soon.
 */
#include "command.h"
#include "load.h"
#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_SIZE_MIN     24u /* a run, a thread, an op */
#define DEFAULT_KEY_SIZE 36u
#define DEFAULT_RESPONSE 256u
#define DEFAULT_KEYS     1000u
#define DEFAULT_MS       5000u
#define RECORDS_TTL_MS   600000u
#define THREADS_MAX      1024u
#define BATCH_MAX        10000u
#define REPLAYED         0xffffu /* the "thread" whose keys are replayed */

/* What all threads share. */
typedef struct {
    idem_store *store;
    cli_bench_mode mode;
    size_t key_size;
    uint64_t keys; /* to replay */
    char *response;
    size_t response_size;
    uint32_t run; /* so that no two runs have a key in common */
    bool progress;
} bench;

typedef struct {
    const bench *all;
    unsigned thread;
    size_t batch;
    char *keys; /* `batch` of them */
    idem_request *requests;
    idem_outcome *outcomes;
    idem_claim **claims;
    idem_bytes *responses;
} worker;

/* ----------------------------------------------------------------------------------- one step */

/* printf() would cost as much as a claim in memory. */
static void write_hex(char *to, unsigned digits, uint64_t value)
{
    while (digits-- > 0) {
        to[digits] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
}

static void write_key(const bench *all, char *key, unsigned thread, uint64_t op)
{
    write_hex(key, 8, all->run);
    write_hex(key + 8, 4, thread);
    write_hex(key + 12, 12, op);
}

static void prepare_requests(worker *self, uint64_t first, size_t count)
{
    const bench *all = self->all;
    for (size_t i = 0; i < count; i++) {
        uint64_t op = first + i;
        char *key = self->keys + i * all->key_size;
        if (all->mode == CLI_BENCH_REPLAY)
            write_key(all, key, REPLAYED, (op + self->thread * UINT64_C(7919)) % all->keys);
        else
            write_key(all, key, self->thread, op);
    }
}

/* Says what went wrong, once for all threads. */
static bool fail(const idem_error *error)
{
    (void)cli_report_call(error);
    return false;
}

static bool expect(const worker *self, size_t count)
{
    idem_outcome_kind kind = self->all->mode == CLI_BENCH_REPLAY ? IDEM_COMPLETED : IDEM_NEW;
    for (size_t i = 0; i < count; i++) {
        if (self->outcomes[i].kind != kind) {
            cli_say("a key of this run was changed by somebody else; is the store being emptied?");
            return false;
        }
    }
    return true;
}

static int begin_all(worker *self, size_t count, idem_error *error)
{
    if (count == 1)
        return idem_begin(self->all->store, self->requests, self->outcomes, error);
    return idem_begin_many(self->all->store, self->requests, count, self->outcomes, NULL, error);
}

static int complete_all(worker *self, size_t count, idem_error *error)
{
    if (count == 1)
        return idem_complete(self->all->store, self->outcomes[0].claim, self->responses[0], error);
    for (size_t i = 0; i < count; i++)
        self->claims[i] = self->outcomes[i].claim;
    return idem_complete_many(self->all->store, self->claims, self->responses, count, NULL, error);
}

static bool step(void *argument, uint64_t first, size_t count)
{
    worker *self = argument;
    idem_error error;
    prepare_requests(self, first, count);
    if (begin_all(self, count, &error))
        return fail(&error);
    bool ok = expect(self, count);
    if (ok && self->all->mode == CLI_BENCH_CYCLE && complete_all(self, count, &error))
        ok = fail(&error);
    for (size_t i = 0; i < count; i++)
        idem_outcome_clear(&self->outcomes[i]);
    return ok;
}

/* ------------------------------------------------------------------------------------ threads */

static void end_worker(void *argument)
{
    worker *self = argument;
    free(self->keys);
    free(self->requests);
    free(self->outcomes);
    free(self->claims);
    free(self->responses);
    free(self);
}

static void fill_worker(worker *self)
{
    const bench *all = self->all;
    memset(self->keys, 'k', self->batch * all->key_size);
    for (size_t i = 0; i < self->batch; i++) {
        idem_request_init(&self->requests[i]);
        self->requests[i].key = (idem_bytes){self->keys + i * all->key_size, all->key_size};
        self->requests[i].ttl_ms = RECORDS_TTL_MS;
        self->responses[i] = (idem_bytes){all->response, all->response_size};
    }
}

static worker *make_worker(const bench *all, unsigned thread, size_t batch)
{
    worker *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->all = all;
    self->thread = thread;
    self->batch = batch;
    self->keys = malloc(batch * all->key_size);
    self->requests = calloc(batch, sizeof *self->requests);
    self->outcomes = calloc(batch, sizeof *self->outcomes);
    self->claims = calloc(batch, sizeof(idem_claim *));
    self->responses = calloc(batch, sizeof *self->responses);
    if (!self->keys || !self->requests || !self->outcomes || !self->claims || !self->responses) {
        end_worker(self);
        return NULL;
    }
    fill_worker(self);
    return self;
}

typedef struct {
    bench all;
    size_t batch;
} setting;

static void *start_worker(void *user, unsigned thread)
{
    setting *given = user;
    worker *made = make_worker(&given->all, thread, given->batch);
    if (!made)
        (void)cli_report_no_memory();
    return made;
}

/* Completes the keys that will be replayed. */
static bool prepare_replays(const setting *given)
{
    bench all = given->all;
    all.mode = CLI_BENCH_CYCLE;
    size_t batch = all.keys < 256 ? (size_t)all.keys : 256;
    worker *self = make_worker(&all, REPLAYED, batch);
    if (!self) {
        (void)cli_report_no_memory();
        return false;
    }
    bool ok = true;
    for (uint64_t first = 0; ok && first < all.keys; first += batch)
        ok = step(self, first, all.keys - first < batch ? (size_t)(all.keys - first) : batch);
    end_worker(self);
    return ok;
}

static void show_progress(void *user, double seconds, uint64_t ops)
{
    const setting *given = user;
    if (given->all.progress)
        (void)fprintf(stderr, "\r%5.1f s  %12" PRIu64 " ops  %10.0f ops/s ", seconds, ops,
                      seconds > 0 ? (double)ops / seconds : 0);
}

/* ------------------------------------------------------------------------------------- answers */

static double micros(const cli_histogram *latency, double share)
{
    return (double)cli_histogram_quantile(latency, share) / 1000;
}

static void add_json(cli_text *text, const char *mode, const cli_load_plan *plan,
                     const cli_load_result *result)
{
    const cli_histogram *latency = &result->latency;
    cli_text_addf(text,
                  "{\"mode\":\"%s\",\"threads\":%u,\"batch\":%zu,\"ops\":%" PRIu64
                  ",\"seconds\":%.3f,\"ops_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
                  "\"p999_us\":%.1f,\"max_us\":%.1f}",
                  mode, plan->threads, plan->batch, result->ops, result->seconds,
                  result->seconds > 0 ? (double)result->ops / result->seconds : 0,
                  micros(latency, 0.5), micros(latency, 0.99), micros(latency, 0.999),
                  (double)latency->max / 1000);
}

static void add_lines(cli_text *text, const char *mode, const cli_load_plan *plan,
                      const cli_load_result *result)
{
    const cli_histogram *latency = &result->latency;
    cli_text_addf(text, "%s, %u %s, batches of %zu: %" PRIu64 " ops in %.2f s\n", mode,
                  plan->threads, plan->threads == 1 ? "thread" : "threads", plan->batch,
                  result->ops, result->seconds);
    cli_text_addf(text, "%12.0f ops/s\n",
                  result->seconds > 0 ? (double)result->ops / result->seconds : 0);
    cli_text_addf(text, "%12.1f us  p50\n%12.1f us  p99\n%12.1f us  p99.9\n%12.1f us  max",
                  micros(latency, 0.5), micros(latency, 0.99), micros(latency, 0.999),
                  (double)latency->max / 1000);
}

static int answer(const cli_call *call, const setting *given, const cli_load_plan *plan,
                  const cli_load_result *result)
{
    cli_text text = {0};
    const char *mode = cli_bench_mode_name(given->all.mode);
    if (given->all.progress)
        (void)fprintf(stderr, "\r%60s\r", "");
    if (call->options.json)
        add_json(&text, mode, plan, result);
    else
        add_lines(&text, mode, plan, result);
    return cli_answer(&text);
}

/* ------------------------------------------------------------------------------------- command */

static int read_plan(const cli_options *options, cli_load_plan *plan)
{
    plan->threads = options->threads ? (unsigned)options->threads : 1;
    plan->ops = options->ops;
    plan->duration_ms = options->duration_ms;
    plan->rate = options->rate;
    plan->batch = options->batch ? (size_t)options->batch : 1;
    if (options->threads > THREADS_MAX)
        return cli_usage("bench", "--threads takes up to %u", THREADS_MAX);
    if (options->batch > BATCH_MAX)
        return cli_usage("bench", "--batch takes up to %u", BATCH_MAX);
    if (options->key_size && (options->key_size < KEY_SIZE_MIN || options->key_size > IDEM_KEY_MAX))
        return cli_usage("bench", "--key-size takes %u to %u bytes", KEY_SIZE_MIN, IDEM_KEY_MAX);
    if (plan->ops == 0 && plan->duration_ms == 0)
        plan->duration_ms = DEFAULT_MS;
    return CLI_OK;
}

/* A JSON string of so many bytes. */
static bool make_response(bench *all, uint64_t size)
{
    all->response_size = size < 2 ? 2 : (size_t)size;
    all->response = malloc(all->response_size);
    if (!all->response)
        return false;
    memset(all->response, 'r', all->response_size);
    all->response[0] = '"';
    all->response[all->response_size - 1] = '"';
    return true;
}

static int measure(const cli_call *call, setting *given, const cli_load_plan *plan)
{
    cli_load_work work = {.start = start_worker,
                          .step = step,
                          .end = end_worker,
                          .progress = show_progress,
                          .user = given};
    cli_load_result *result = calloc(1, sizeof *result);
    if (!result)
        return cli_report_no_memory();
    int code = CLI_UNAVAILABLE;
    if ((given->all.mode != CLI_BENCH_REPLAY || prepare_replays(given)) &&
        cli_load_run(plan, &work, result))
        code = answer(call, given, plan, result);
    free(result);
    return code;
}

int cli_bench(idem_store *store, const cli_call *call)
{
    const cli_options *options = &call->options;
    cli_load_plan plan;
    idem_error error = {0};
    setting given = {
        .all = {.store = store,
                .mode = options->mode ? (cli_bench_mode)options->mode : CLI_BENCH_CYCLE,
                .key_size = options->key_size ? (size_t)options->key_size : DEFAULT_KEY_SIZE,
                .keys = options->keys ? options->keys : DEFAULT_KEYS,
                .progress = isatty(STDERR_FILENO) == 1}};
    int code = read_plan(options, &plan);
    if (code)
        return code;
    given.batch = plan.batch;
    if (idem_random(&given.all.run, sizeof given.all.run, &error))
        return cli_report_call(&error);
    if (!make_response(&given.all,
                       options->response_size ? options->response_size : DEFAULT_RESPONSE))
        return cli_report_no_memory();
    code = measure(call, &given, &plan);
    free(given.all.response);
    return code;
}
