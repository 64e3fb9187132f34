/* SPDX-License-Identifier: MIT */
/*
 * What a store counts: calls by kind and result, latencies, repeats, renewals. One relaxed addition
 * is what a call costs where it is not timed.
 */
#ifndef IDEM_CORE_STATS_H
#define IDEM_CORE_STATS_H

#include "clock.h"
#include "probe.h"
#include "protocol.h"

#include <stdatomic.h>

/** How many stripes the counters have; threads beyond that share them. */
#define IDEM__STATS_STRIPES 8u

/** A call's result: its code, or for a begin that succeeded this, and its outcome. */
#define IDEM__STATS_OUTCOME IDEM_STATS_CODES
#define IDEM__STATS_RESULTS (IDEM_STATS_CODES + IDEM_STATS_OUTCOMES)

typedef _Atomic uint64_t idem__counter;

/** The counters of some threads: what they write is on cache lines of their own. */
typedef struct {
    idem__counter results[IDEM_STATS_CALLS][IDEM__STATS_RESULTS];
    idem__counter takeovers;
    idem__counter reinstated;
    idem__counter repeats[IDEM_STATS_CODES];
    idem__counter renewals[IDEM_STATS_CODES];
} idem__stripe;

/** All zero is the beginning. What is timed has done I/O, so that all threads may share its
 *  counters. */
typedef struct {
    idem__stripe stripes[IDEM__STATS_STRIPES];
    idem__counter latency[IDEM_STATS_CALLS][IDEM_STATS_BUCKETS];
    idem__counter latency_sum_us[IDEM_STATS_CALLS];
} idem__stats;

/** Sets all to zero, in the child of a fork(): its parent counts what was before. */
void idem__stats_reset(idem__stats *stats);

/** Adds all up. Only the counters are filled in: `stats` was zeroed. */
void idem__stats_sum(idem__stats *stats, idem_store_stats *sum);

/** A call begins. It is timed from here on, if its store times calls and it is not timed yet. */
static inline void idem__stats_start(bool timed, idem__call *call)
{
    IDEM__PROBE4(call_start, call, call->kind, call->key.data, call->key.len);
    if (timed && !call->started_ns)
        call->started_ns = idem__clock_ns();
}

/** Tells the store's hook, if there is one, or notes it for later: see idem__call.events.
 *  @param call  whose event it is, if that may be noted; else NULL */
void idem__stats_tell(const idem_store *store, const idem__call *call, idem_event event);

/** A call's key as its caller named it. */
idem_bytes idem__stats_key(const idem_store *store, const idem__call *call);

/** A call has its answer, which is still in it. */
void idem__stats_end(idem_store *store, const idem__call *call);

/** A replay that took no call at all. */
void idem__stats_replay(idem_store *store, idem_bytes key, uint32_t attempt);

/** A call of that kind was refused before anything was sent. @return `code` */
int idem__stats_count_refused(idem_store *store, idem__call_kind kind, int code);

/** The same; a call that was not refused, and one without a store, are not counted. */
static inline int idem__stats_refused(idem_store *store, idem__call_kind kind, int code)
{
    return code == IDEM_OK || !store ? code : idem__stats_count_refused(store, kind, code);
}

/** The time by which to begin what is not a call on one key; 0: it is not timed. */
uint64_t idem__stats_now(const idem_store *store);

/** What began then has ended. @return `code` */
int idem__stats_whole(idem_store *store, idem_call_kind kind, uint64_t started_ns, int code,
                      const idem_error *error);

/** An operation failed and is repeated. @param call  whose; NULL: of no call on a key */
void idem__stats_repeat(idem_store *store, const idem__call *call, int code);

/** A record was put back; the keepalive has renewed. */
void idem__stats_reinstated(idem_store *store);
void idem__stats_renewal(idem_store *store, int code);

#endif
