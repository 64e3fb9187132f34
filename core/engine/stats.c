/* SPDX-License-Identifier: MIT */
/*
 * The counters, and what else sees each call: the event hook, and the probes.
 *
 * A thread has a number, given once, and by it a stripe in every store. Two threads of one number
 * share a stripe, so additions are atomic; they are relaxed, since counters order nothing.
 */
#include "stats.h"

#include "cancel.h"
#include "clock.h"
#include "notes.h"
#include "store.h"

#define NS_PER_US 1000u

static _Thread_local unsigned my_number; /* from 1 on; 0: none yet */
static atomic_uint numbers;

/* ------------------------------------------------------------------------------------ stripes */

void idem__stats_reset(idem__stats *stats)
{
    memset(stats, 0, sizeof *stats);
}

static inline idem__stripe *stripe_of(idem_store *store)
{
    if (!my_number)
        my_number = atomic_fetch_add(&numbers, 1) % IDEM__STATS_STRIPES + 1;
    return &store->stats.stripes[my_number - 1];
}

static inline void add(idem__counter *counter, uint64_t more)
{
    (void)atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static size_t code_index(int code)
{
    return code >= 0 && code < (int)IDEM_STATS_CODES ? (size_t)code : IDEM_ERR_INTERNAL;
}

/* ---------------------------------------------------------------------------------- latencies */

uint64_t idem_stats_bound_us(size_t bucket)
{
    uint64_t decade = 1;
    if (bucket >= IDEM_STATS_BUCKETS - 1)
        return UINT64_MAX;
    for (size_t i = bucket / 9; i > 0; i--)
        decade *= 10;
    return (bucket % 9 + 1) * decade;
}

static void add_latency(idem_store *store, idem_call_kind kind, uint64_t us)
{
    size_t bucket = 0;
    uint64_t decade = 1;
    while (us > 9 * decade && bucket < IDEM_STATS_BUCKETS - 1) {
        bucket += 9;
        decade *= 10;
    }
    if (us > 0)
        bucket += (us + decade - 1) / decade - 1;
    if (bucket > IDEM_STATS_BUCKETS - 1)
        bucket = IDEM_STATS_BUCKETS - 1;
    add(&store->stats.latency[kind][bucket], 1);
    add(&store->stats.latency_sum_us[kind], us);
}

/* A part of a microsecond counts as a whole one: no bucket holds what is longer than its bound. */
static uint64_t duration_us(uint64_t started_ns)
{
    uint64_t now = idem__clock_ns();
    return now > started_ns ? (now - started_ns + NS_PER_US - 1) / NS_PER_US : 1;
}

/* -------------------------------------------------------------------------------------- calls */

static idem_call_kind kind_of(idem__call_kind kind)
{
    return kind > IDEM__CALL_SETTLE ? IDEM_CALL_FORGET : (idem_call_kind)kind;
}

void idem__stats_tell(const idem_store *store, const idem__call *call, idem_event event)
{
    if (!store->on_event)
        return;
    if (call && call->events && event.kind == IDEM_EVENT_RETRY) {
        idem__notes_add(call->events->repeats, &event);
        return;
    }
    if (call && call->events) {
        call->events->list[call->events->count++] = event;
        return;
    }
    int cancel_state = idem__cancel_hold(); /* the hook may print */
    store->on_event(store->event_user, &event);
    idem__cancel_restore(cancel_state);
}

idem_bytes idem__stats_key(const idem_store *store, const idem__call *call)
{
    size_t skipped = store->prefix.len;
    return (idem_bytes){(const char *)call->key.data + skipped, call->key.len - skipped};
}

static uint32_t attempt_of(const idem__call *call)
{
    bool mine = call->kind != IDEM__CALL_BEGIN || call->outcome == IDEM_NEW;
    return mine && call->held.attempt ? call->held.attempt : call->seen.attempt;
}

static void tell_call(const idem_store *store, const idem__call *call, uint64_t us)
{
    idem_call_kind kind = kind_of(call->kind);
    bool begun = kind == IDEM_CALL_BEGIN && call->code == IDEM_OK;
    idem__stats_tell(store, call,
                     (idem_event){.kind = IDEM_EVENT_CALL,
                                  .code = call->code,
                                  .key = idem__stats_key(store, call),
                                  .message = call->code ? call->error.message : "",
                                  .call = kind,
                                  .outcome = begun ? call->outcome : (idem_outcome_kind)0,
                                  .attempt = attempt_of(call),
                                  .duration_us = us});
}

static inline size_t result_of(const idem__call *call)
{
    size_t result = code_index(call->code);
    return call->kind == IDEM__CALL_BEGIN && result == IDEM_OK
               ? IDEM__STATS_OUTCOME + (size_t)call->outcome
               : result;
}

/* Apart from what every call of a store in memory takes, which so needs no frame. */
static void __attribute__((noinline)) end_slowly(idem_store *store, const idem__call *call)
{
    idem_call_kind kind = kind_of(call->kind);
    size_t result = result_of(call);
    idem__stripe *mine = stripe_of(store);
    add(&mine->results[kind][result], 1);
    if (kind == IDEM_CALL_BEGIN && result == IDEM__STATS_OUTCOME + IDEM_NEW)
        add(&mine->takeovers, call->held.attempt > 1);
    if (!call->started_ns)
        return;
    uint64_t us = duration_us(call->started_ns);
    add_latency(store, kind, us);
    if (store->observe_calls)
        tell_call(store, call, us);
}

void idem__stats_end(idem_store *store, const idem__call *call)
{
    IDEM__PROBE5(call_end, call, call->kind, call->code, call->outcome, call->held.attempt);
    if (!my_number || call->started_ns || call->held.attempt > 1)
        end_slowly(store, call);
    else
        add(&store->stats.stripes[my_number - 1].results[kind_of(call->kind)][result_of(call)], 1);
}

void idem__stats_replay(idem_store *store, idem_bytes key, uint32_t attempt)
{
    IDEM__PROBE4(call_start, NULL, IDEM_CALL_BEGIN, key.data, key.len);
    IDEM__PROBE5(call_end, NULL, IDEM_CALL_BEGIN, IDEM_OK, IDEM_COMPLETED, attempt);
    (void)key;
    (void)attempt;
    add(&stripe_of(store)->results[IDEM_CALL_BEGIN][IDEM__STATS_OUTCOME + IDEM_COMPLETED], 1);
}

int idem__stats_count_refused(idem_store *store, idem__call_kind kind, int code)
{
    add(&stripe_of(store)->results[kind_of(kind)][code_index(code)], 1);
    if (store->observe_calls)
        idem__stats_tell(store, NULL,
                         (idem_event){.kind = IDEM_EVENT_CALL,
                                      .code = code,
                                      .message = idem_strerror(code),
                                      .call = kind_of(kind)});
    return code;
}

uint64_t idem__stats_now(const idem_store *store)
{
    return store && store->timed ? idem__clock_ns() : 0;
}

int idem__stats_whole(idem_store *store, idem_call_kind kind, uint64_t started_ns, int code,
                      const idem_error *error)
{
    uint64_t us = started_ns ? duration_us(started_ns) : 0;
    if (!store)
        return code;
    add(&stripe_of(store)->results[kind][code_index(code)], 1);
    if (started_ns)
        add_latency(store, kind, us);
    if (store->observe_calls)
        idem__stats_tell(store, NULL,
                         (idem_event){.kind = IDEM_EVENT_CALL,
                                      .code = code,
                                      .message = !code   ? ""
                                                 : error ? error->message
                                                         : idem_strerror(code),
                                      .call = kind,
                                      .duration_us = us});
    return code;
}

/* ------------------------------------------------------------------------------------- others */

void idem__stats_repeat(idem_store *store, const idem__call *call, int code)
{
    IDEM__PROBE3(repeat, call, call ? kind_of(call->kind) : 0, code);
    (void)call;
    add(&stripe_of(store)->repeats[code_index(code)], 1);
}

void idem__stats_reinstated(idem_store *store)
{
    add(&stripe_of(store)->reinstated, 1);
}

void idem__stats_renewal(idem_store *store, int code)
{
    add(&stripe_of(store)->renewals[code_index(code)], 1);
}

/* ------------------------------------------------------------------------------------ reading */

static uint64_t read(idem__counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void sum_call(idem__stripe *stripe, size_t kind, idem_call_stats *sum, uint64_t *outcomes)
{
    for (size_t code = 0; code < IDEM_STATS_CODES; code++)
        sum->by_code[code] += read(&stripe->results[kind][code]);
    for (size_t i = 0; i < IDEM_STATS_OUTCOMES; i++) {
        uint64_t count = read(&stripe->results[kind][IDEM__STATS_OUTCOME + i]);
        sum->by_code[IDEM_OK] += count;
        outcomes[i] += count;
    }
}

static void sum_latencies(idem__stats *stats, size_t kind, idem_call_stats *sum)
{
    for (size_t i = 0; i < IDEM_STATS_BUCKETS; i++) {
        sum->latency[i] = read(&stats->latency[kind][i]);
        sum->latency_count += sum->latency[i];
    }
    sum->latency_sum_us = read(&stats->latency_sum_us[kind]);
}

static void sum_stripe(idem__stripe *stripe, idem_store_stats *sum)
{
    sum->takeovers += read(&stripe->takeovers);
    sum->reinstated += read(&stripe->reinstated);
    for (size_t code = 0; code < IDEM_STATS_CODES; code++) {
        sum->repeats[code] += read(&stripe->repeats[code]);
        sum->renewals[code] += read(&stripe->renewals[code]);
    }
    for (size_t kind = 0; kind < IDEM_STATS_CALLS; kind++)
        sum_call(stripe, kind, &sum->calls[kind], sum->outcomes);
}

void idem__stats_sum(idem__stats *stats, idem_store_stats *sum)
{
    for (size_t i = 0; i < IDEM__STATS_STRIPES; i++)
        sum_stripe(&stats->stripes[i], sum);
    for (size_t kind = 0; kind < IDEM_STATS_CALLS; kind++)
        sum_latencies(stats, kind, &sum->calls[kind]);
}
