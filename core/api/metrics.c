/* SPDX-License-Identifier: MIT */
/*
 * What a store has counted, as a struct and as OpenMetrics text. One table has all metrics: it
 * makes the text, and the documentation's table is made from the text.
 */
#include "error.h"
#include "stats.h"
#include "store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------- reading */

static void count_connections(idem_store *store, idem_store_stats *stats)
{
    idem__pool_count count = {0};
    idem__pool_usage(&store->writers, &count);
    idem__pool_usage(&store->readers, &count);
    stats->connections = count.open;
    stats->connections_busy = count.busy;
    stats->connections_max = count.max;
    stats->waiters = count.waiters;
}

static idem_store_stats *snapshot(idem_store *store, idem_error *error)
{
    idem_store_stats *stats = calloc(1, sizeof *stats);
    if (!stats) {
        (void)idem__error_no_memory(error);
        return NULL;
    }
    idem__stats_sum(&store->stats, stats);
    count_connections(store, stats);
    stats->kept_claims = idem__keepalive_count(&store->keeper);
    return stats;
}

int idem_stats(idem_store *store, idem_store_stats *stats, idem_error *error)
{
    idem__error_clear(error);
    if (!store || !stats)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the stats are NULL");
    size_t size = stats->size;
    if (size < offsetof(idem_store_stats, outcomes))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the size of the stats is not set; set it to "
                              "sizeof(idem_store_stats)");
    idem_store_stats *known = snapshot(store, error);
    if (!known)
        return IDEM_ERR_NO_MEMORY;
    if (size > sizeof *known) /* of a newer header: what this version does not count is zero */
        memset((char *)stats + sizeof *known, 0, size - sizeof *known);
    known->size = size;
    memcpy(stats, known, size < sizeof *known ? size : sizeof *known);
    free(known);
    return IDEM_OK;
}

/* ---------------------------------------------------------------------------------------- text */

#define NAME_LEN_MAX 100

typedef struct {
    const idem_store *store;
    const idem_store_stats *stats;
    idem_buffer text;
    char label[2 * NAME_LEN_MAX + sizeof "store=\"\","]; /* that, or nothing */
    int code;
} writer;

static void put(writer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *out, const char *format, ...)
{
    char line[640];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (out->code == IDEM_OK && len > 0)
        out->code = idem_buffer_append(&out->text, line, (size_t)len, NULL);
}

static const char *const call_words[IDEM_STATS_CALLS] = {
#define WORD(name, number, word) [number] = word,
    IDEM_CALL_MAP(WORD)
#undef WORD
};
/* As the codes are named in the documentation, in small letters. */
static const char *const code_words[IDEM_STATS_CODES] = {[IDEM_OK] = "OK",
#define WORD(name, number, text) [number] = #name,
                                                         IDEM_ERROR_MAP(WORD)
#undef WORD
};
static const char *const outcome_words[IDEM_STATS_OUTCOMES] = {[IDEM_NEW] = "new",
                                                               [IDEM_IN_PROGRESS] = "in_progress",
                                                               [IDEM_COMPLETED] = "completed",
                                                               [IDEM_MISMATCH] = "mismatch",
                                                               [IDEM_IN_DOUBT] = "in_doubt"};

/* One sample with one more label, or none. */
static void put_sample(writer *out, const char *name, const char *label, const char *value,
                       uint64_t number)
{
    const char *own = out->label;
    int own_len = (int)strlen(own);
    if (label)
        put(out, "%s{%s%s=\"%s\"} %" PRIu64 "\n", name, own, label, value, number);
    else if (own_len > 0) /* without the comma */
        put(out, "%s{%.*s} %" PRIu64 "\n", name, own_len - 1, own, number);
    else
        put(out, "%s %" PRIu64 "\n", name, number);
}

static void put_by_code(writer *out, const char *name, size_t first, const uint64_t *by_code)
{
    for (size_t code = first; code < IDEM_STATS_CODES; code++) {
        if (code_words[code])
            put_sample(out, name, "code", code_words[code], by_code[code]);
    }
}

static void put_library(writer *out)
{
    put(out, "idem_library_info{%sversion=\"%s\",backend=\"%s\"} 1\n", out->label, idem_version(),
        out->store->ops.scheme);
}

/* Of a kind that was never called there are no samples: most programs use three of them. */
static bool was_called(const idem_call_stats *call)
{
    for (size_t code = 0; code < IDEM_STATS_CODES; code++) {
        if (call->by_code[code])
            return true;
    }
    return false;
}

static void put_calls(writer *out)
{
    for (size_t kind = 0; kind < IDEM_STATS_CALLS; kind++) {
        const idem_call_stats *call = &out->stats->calls[kind];
        if (!call_words[kind] || !was_called(call))
            continue;
        for (size_t code = 0; code < IDEM_STATS_CODES; code++) {
            if (code_words[code] && (code == IDEM_OK || call->by_code[code]))
                put(out, "idem_calls_total{%scall=\"%s\",code=\"%s\"} %" PRIu64 "\n", out->label,
                    call_words[kind], code_words[code], call->by_code[code]);
        }
    }
}

static void put_begins(writer *out)
{
    for (size_t i = 0; i < IDEM_STATS_OUTCOMES; i++) {
        if (outcome_words[i])
            put_sample(out, "idem_begins_total", "outcome", outcome_words[i],
                       out->stats->outcomes[i]);
    }
}

/* In seconds, to the last microsecond, without what a float rounds and a locale changes. */
static void put_seconds(char buf[32], uint64_t us)
{
    (void)snprintf(buf, 32, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

/* Three bounds to a decade: 1, 2, 5. */
static void put_histogram(writer *out, const char *word, const idem_call_stats *call)
{
    char seconds[32];
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < IDEM_STATS_BUCKETS; i++) {
        size_t digit = i % 9 + 1;
        sum += call->latency[i];
        if (digit != 1 && digit != 2 && digit != 5)
            continue;
        put_seconds(seconds, idem_stats_bound_us(i));
        put(out, "idem_call_duration_seconds_bucket{%scall=\"%s\",le=\"%s\"} %" PRIu64 "\n",
            out->label, word, seconds, sum);
    }
    put(out, "idem_call_duration_seconds_bucket{%scall=\"%s\",le=\"+Inf\"} %" PRIu64 "\n",
        out->label, word, call->latency_count);
    put(out, "idem_call_duration_seconds_count{%scall=\"%s\"} %" PRIu64 "\n", out->label, word,
        call->latency_count);
    put_seconds(seconds, call->latency_sum_us);
    put(out, "idem_call_duration_seconds_sum{%scall=\"%s\"} %s\n", out->label, word, seconds);
}

static void put_durations(writer *out)
{
    for (size_t kind = 0; kind < IDEM_STATS_CALLS; kind++) {
        if (call_words[kind] && out->stats->calls[kind].latency_count)
            put_histogram(out, call_words[kind], &out->stats->calls[kind]);
    }
}

static void put_takeovers(writer *out)
{
    put_sample(out, "idem_takeovers_total", NULL, NULL, out->stats->takeovers);
}

static void put_repeats(writer *out)
{
    put_by_code(out, "idem_repeats_total", IDEM_ERR_ARGUMENT, out->stats->repeats);
}

static void put_renewals(writer *out)
{
    put_by_code(out, "idem_renewals_total", IDEM_OK, out->stats->renewals);
}

static void put_reinstated(writer *out)
{
    put_sample(out, "idem_reinstated_total", NULL, NULL, out->stats->reinstated);
}

static void put_connections(writer *out)
{
    const idem_store_stats *stats = out->stats;
    put_sample(out, "idem_connections", "state", "busy", stats->connections_busy);
    put_sample(out, "idem_connections", "state", "idle",
               stats->connections - stats->connections_busy);
}

static void put_connections_max(writer *out)
{
    put_sample(out, "idem_connections_limit", NULL, NULL, out->stats->connections_max);
}

static void put_waiters(writer *out)
{
    put_sample(out, "idem_waiters", NULL, NULL, out->stats->waiters);
}

static void put_kept_claims(writer *out)
{
    put_sample(out, "idem_kept_claims", NULL, NULL, out->stats->kept_claims);
}

static const struct {
    const char *name;
    const char *type;
    const char *unit; /* NULL: none */
    const char *help;
    void (*put)(writer *out);
} families[] = {
    {"idem_library", "info", NULL, "The library's version, and the kind of store.", put_library},
    {"idem_calls", "counter", NULL, "Calls that have ended, by kind and code.", put_calls},
    {"idem_begins", "counter", NULL, "Begins that succeeded, by outcome.", put_begins},
    {"idem_takeovers", "counter", NULL,
     "Begins that were new with an attempt above 1: an earlier owner had stopped.", put_takeovers},
    {"idem_call_duration_seconds", "histogram", "seconds",
     "How long calls took, waits included; memory stores are not timed.", put_durations},
    {"idem_repeats", "counter", NULL,
     "Operations that failed and were sent again, by the code of the failure.", put_repeats},
    {"idem_renewals", "counter", NULL, "Renewals by the keepalive, by code.", put_renewals},
    {"idem_reinstated", "counter", NULL, "Records that the store had lost and that were put back.",
     put_reinstated},
    {"idem_connections", "gauge", NULL, "Open connections to the store, by state.",
     put_connections},
    {"idem_connections_limit", "gauge", NULL, "How many connections there may be.",
     put_connections_max},
    {"idem_waiters", "gauge", NULL, "Calls that wait for a connection.", put_waiters},
    {"idem_kept_claims", "gauge", NULL, "Claims that the keepalive renews.", put_kept_claims},
};

static void put_families(writer *out)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        put(out, "# TYPE %s %s\n", families[i].name, families[i].type);
        if (families[i].unit)
            put(out, "# UNIT %s %s\n", families[i].name, families[i].unit);
        put(out, "# HELP %s %s\n", families[i].name, families[i].help);
        families[i].put(out);
    }
    put(out, "# EOF\n");
}

/* Escapes a label's value. */
static void make_label(writer *out, const char *name)
{
    static const char head[] = "store=\"";
    size_t at = sizeof head - 1;
    memcpy(out->label, head, sizeof head);
    for (; *name; name++) {
        if (*name == '\\' || *name == '"' || *name == '\n')
            out->label[at++] = '\\';
        out->label[at++] = (char)(*name == '\n' ? 'n' : *name);
    }
    memcpy(out->label + at, "\",", 3);
}

int idem_stats_text(idem_store *store, const char *name, idem_text_fn fn, void *user,
                    idem_error *error)
{
    writer out = {.store = store};
    idem__error_clear(error);
    if (!store || !fn)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the function is NULL");
    if (name && strlen(name) > NAME_LEN_MAX)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the name of the store is longer than 100 bytes; give a shorter one");
    idem_store_stats *stats = snapshot(store, error);
    if (!stats)
        return IDEM_ERR_NO_MEMORY;
    if (name)
        make_label(&out, name);
    out.stats = stats;
    put_families(&out);
    if (out.code == IDEM_OK)
        fn((const char *)out.text.data, out.text.len, user);
    else
        (void)idem__error_no_memory(error);
    idem_buffer_clear(&out.text);
    free(stats);
    return out.code;
}
