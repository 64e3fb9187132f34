/* SPDX-License-Identifier: MIT */
/*
 * `idem bench`: measures a store, says what came of it, and takes away what it has left there. The
 * answer comes before the tidying up, which may take as long as the run. A run that is killed
 * before that leaves records that expire soon.
 */
#include "bench_ops.h"
#include "command.h"
#include "output.h"
#include "signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX      1024u
#define BATCH_MAX        10000u
#define PENDING_MAX      1000000u /* ops that all threads have in their hands at once */
#define FAILURES_MAX     10u
#define DEFAULT_RESPONSE 256u
#define DEFAULT_KEYS     1000u
#define DEFAULT_MS       5000u
#define TTL_MS           600000u
#define DAY_MS           86400000u

static const char *const kinds[CLI_BENCH_KINDS] = {[0] = "OUTCOME",
#define KIND_NAME(name, number, text) [number] = #name,
                                                   IDEM_ERROR_MAP(KIND_NAME)
#undef KIND_NAME
};

static double per_second(const cli_load_result *result)
{
    return result->seconds > 0 ? (double)result->ops / result->seconds : 0;
}

/* Those of the warm-up are among them. */
static uint64_t failed(const cli_bench_run *run)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < CLI_BENCH_KINDS; i++)
        count += run->failures.counts[i];
    return count;
}

/* ---------------------------------------------------------------------------------------- JSON */

static double micros(uint64_t ns)
{
    return (double)ns / 1000;
}

static void add_json(cli_text *text, const cli_bench_run *run, const cli_load_result *result)
{
    const cli_histogram *latency = &result->latency;
    const char *comma = "";
    cli_text_addf(text,
                  "{\"mode\":\"%s\",\"threads\":%u,\"ops\":%" PRIu64
                  ",\"seconds\":%.3f,\"ops_per_s\":%.0f,\"p50_us\":%.2f,\"p99_us\":%.2f,"
                  "\"p999_us\":%.2f,\"max_us\":%.2f,\"batch\":%zu,\"errors\":%" PRIu64
                  ",\"errors_by_code\":{",
                  cli_bench_mode_name(run->mode), run->threads, result->ops, result->seconds,
                  per_second(result), micros(cli_histogram_at(latency, 500)),
                  micros(cli_histogram_at(latency, 990)), micros(cli_histogram_at(latency, 999)),
                  micros(latency->max), run->batch, failed(run));
    for (unsigned i = 0; i < CLI_BENCH_KINDS; i++) {
        if (run->failures.counts[i] == 0)
            continue;
        cli_text_addf(text, "%s\"%s\":%" PRIu64, comma, kinds[i], run->failures.counts[i]);
        comma = ",";
    }
    cli_text_addf(text, "},\"interrupted\":%s}\n", result->signal ? "true" : "false");
}

/* --------------------------------------------------------------------------------------- table */

/* 1234567 as 1,234,567. */
static const char *grouped(uint64_t number, char buf[32])
{
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number);
    char *to = buf;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

static void add_count(cli_text *text, const char *name, uint64_t number, const char *rest)
{
    char buf[32];
    cli_text_addf(text, "  %-12s%13s%s\n", name, grouped(number, buf), rest);
}

/* A time with three digits that count. */
static void add_time(cli_text *text, const char *name, uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)ns;
    unsigned unit = 0;
    for (; value >= 999.5 && unit < 3; unit++)
        value /= 1000;
    int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    cli_text_addf(text, "  %-12s%13.*f %s\n", name, decimals, value, units[unit]);
}

static void add_table(cli_text *text, const cli_bench_run *run, const cli_load_result *result)
{
    const cli_histogram *latency = &result->latency;
    char rest[64];
    cli_text_addf(text, "%s, %u %s", cli_bench_mode_name(run->mode), run->threads,
                  run->threads == 1 ? "thread" : "threads");
    if (run->batch > 1)
        cli_text_addf(text, ", batches of %zu", run->batch);
    cli_text_addf(text, ", keys of %zu bytes", run->key_size);
    if (run->mode != CLI_BENCH_CLAIM)
        cli_text_addf(text, ", responses of %zu", run->response.len);
    cli_text_add(text, "\n\n");
    (void)snprintf(rest, sizeof rest, " in %.2f s%s", result->seconds,
                   result->signal ? ", interrupted" : "");
    add_count(text, "ops", result->ops, rest);
    add_count(text, "per second", (uint64_t)(per_second(result) + 0.5), "");
    add_time(text, run->batch > 1 ? "a batch: p50" : "p50", cli_histogram_at(latency, 500));
    add_time(text, "p99", cli_histogram_at(latency, 990));
    add_time(text, "p99.9", cli_histogram_at(latency, 999));
    add_time(text, "max", latency->max);
    if (failed(run))
        add_count(text, "failed", failed(run), " ops");
}

/* --------------------------------------------------------------------------------------- answer */

/* @return CLI_OK if nothing has failed */
static int say_failures(const cli_bench_run *run)
{
    int code = CLI_OK;
    for (unsigned i = 0; i < CLI_BENCH_KINDS; i++) {
        uint64_t count = run->failures.counts[i];
        if (count == 0)
            continue;
        cli_say("%" PRIu64 " %s failed with %s, the first: %s", count, count == 1 ? "op" : "ops",
                kinds[i], run->failures.messages[i]);
        code = CLI_UNAVAILABLE;
    }
    return code;
}

static void say_if_late(const cli_load_plan *plan, const cli_load_result *result)
{
    double reached = per_second(result);
    if (plan->rate && reached < 0.95 * (double)plan->rate && !result->gave_up && !result->signal)
        cli_say("of %" PRIu64 " ops a second that were asked for there were %.0f; the times have "
                "in them how far that fell behind",
                plan->rate, reached);
}

static int answer(const cli_call *call, const cli_bench_run *run, const cli_load_plan *plan,
                  const cli_load_result *result)
{
    cli_text text = {0};
    if (call->options.json)
        add_json(&text, run, result);
    else
        add_table(&text, run, result);
    int code = cli_text_print(&text);
    int failures = say_failures(run);
    if (result->gave_up)
        cli_say("nothing succeeded any more, so the run was ended");
    say_if_late(plan, result);
    return code ? code : failures;
}

/* --------------------------------------------------------------------------------------- phases */

/* What was made here is nobody's. A store that only this process sees is about to go anyway. */
static int tidy_up(cli_bench_run *run, bool keep)
{
    char ttl[CLI_DURATION_SIZE];
    cli_load_result *result = NULL;
    if (keep || !(idem_traits(run->store) & IDEM_TRAIT_SHARED) || cli_bench_made(run) == 0)
        return CLI_OK;
    result = calloc(1, sizeof *result);
    if (!result)
        return cli_report_no_memory();
    int code = cli_bench_clean(run, result);
    uint64_t left = cli_bench_made(run) - result->ops;
    if (code == CLI_OK && left > 0) {
        cli_say("up to %" PRIu64 " records are left behind, and expire %s after they were "
                "written%s%s",
                left, cli_duration_format(run->ttl_ms, ttl), run->clean_error.code ? ": " : "",
                run->clean_error.message);
        code = run->clean_error.code ? CLI_UNAVAILABLE : CLI_OK;
    }
    free(result);
    return code;
}

static int measure(const cli_call *call, cli_bench_run *run, const cli_load_plan *plan)
{
    cli_load_result *result = calloc(1, sizeof *result);
    if (!result)
        return cli_report_no_memory();
    int code = CLI_OK;
    if (run->mode == CLI_BENCH_REPLAY) {
        code = cli_bench_prepare(run, result);
        if (code == CLI_OK)
            code = say_failures(run);
        if (code == CLI_OK && result->signal)
            code = CLI_SIGNAL + result->signal;
    }
    if (code == CLI_OK)
        code = cli_bench_measure(run, plan, result);
    if (code == CLI_OK)
        code = answer(call, run, plan, result);
    free(result);
    return code;
}

/* -------------------------------------------------------------------------------------- command */

static int read_plan(const cli_options *options, cli_load_plan *plan)
{
    *plan = (cli_load_plan){.threads = options->threads ? (unsigned)options->threads : 1,
                            .batch = options->batch ? (size_t)options->batch : 1,
                            .ops = options->ops,
                            .duration_ms = options->duration_ms,
                            .warmup_ms = options->warmup_ms,
                            .rate = options->rate,
                            .failures_max = FAILURES_MAX};
    if (options->threads > THREADS_MAX)
        return cli_usage("bench", "--threads takes up to %u", THREADS_MAX);
    if (options->batch > BATCH_MAX)
        return cli_usage("bench", "--batch takes up to %u", BATCH_MAX);
    if (plan->threads * plan->batch > PENDING_MAX)
        return cli_usage("bench", "--threads times --batch is more than %u", PENDING_MAX);
    if (plan->ops == 0 && plan->duration_ms == 0)
        plan->duration_ms = DEFAULT_MS;
    return CLI_OK;
}

static int check_sizes(const cli_options *options, const idem_store *store)
{
    if (options->key_size &&
        (options->key_size < CLI_BENCH_KEY_SIZE || options->key_size > IDEM_KEY_MAX))
        return cli_usage("bench", "--key-size takes %uB to %uB", CLI_BENCH_KEY_SIZE, IDEM_KEY_MAX);
    if (options->response_size > idem_max_response(store))
        return cli_usage("bench",
                         "--response is more than this store takes, %" PRIu64
                         "B; its URL can say more with max_response=",
                         idem_max_response(store));
    return CLI_OK;
}

/* Keys to replay have to last for the whole run. */
static uint64_t ttl_of(const cli_bench_run *run, const cli_load_plan *plan)
{
    if (run->mode != CLI_BENCH_REPLAY)
        return TTL_MS;
    uint64_t ttl = plan->duration_ms ? plan->duration_ms + plan->warmup_ms + TTL_MS : DAY_MS;
    return ttl < IDEM_DURATION_MAX_MS ? ttl : IDEM_DURATION_MAX_MS;
}

/* A JSON text of exactly so many bytes. */
static char *make_response(size_t size)
{
    char *text = malloc(size);
    if (!text)
        return NULL;
    memset(text, size == 1 ? '1' : 'r', size);
    if (size > 1)
        text[0] = text[size - 1] = '"';
    return text;
}

static int run_bench(const cli_call *call, cli_bench_run *run, const cli_load_plan *plan)
{
    idem_error error;
    int code = CLI_INTERNAL;
    char *response = make_response(run->response.len);
    run->response.data = response;
    run->made = calloc(run->threads, sizeof *run->made);
    if (!response || !run->made) {
        code = cli_report_no_memory();
    } else if (!cli_signals_catch()) {
        cli_say("signals can't be caught: %s", strerror(errno));
    } else if (idem_random(&run->number, sizeof run->number, &error)) {
        code = cli_report_call(&error);
    } else {
        code = measure(call, run, plan);
        int tidied = tidy_up(run, call->options.keep);
        code = code ? code : tidied;
    }
    free(run->made);
    free(response);
    return code;
}

int cli_bench(idem_store *store, const cli_call *call)
{
    const cli_options *options = &call->options;
    cli_load_plan plan;
    int code = read_plan(options, &plan);
    if (code == CLI_OK)
        code = check_sizes(options, store);
    if (code)
        return code;
    cli_bench_run run = {.store = store,
                         .mode = options->mode ? (cli_bench_mode)options->mode : CLI_BENCH_CYCLE,
                         .key_size =
                             options->key_size ? (size_t)options->key_size : CLI_BENCH_KEY_SIZE,
                         .keys = options->keys ? options->keys : DEFAULT_KEYS,
                         .progress = isatty(STDERR_FILENO) == 1,
                         .threads = plan.threads,
                         .batch = plan.batch};
    run.response.len = options->response_size ? (size_t)options->response_size : DEFAULT_RESPONSE;
    run.ttl_ms = ttl_of(&run, &plan);
    return run_bench(call, &run, &plan);
}
