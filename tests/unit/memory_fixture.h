/* SPDX-License-Identifier: MIT */
/* What the programs that test the memory backend have in common: stores under a clock that the
   test tells the time, and short ways to claim and to count. */
#ifndef IDEM_TESTS_MEMORY_FIXTURE_H
#define IDEM_TESTS_MEMORY_FIXTURE_H

#include <idem/backend.h>

#include "runner.h"
#include "sanitized.h"

#include <stdatomic.h>
#include <stdio.h>

static _Atomic uint64_t time_ms;

static inline uint64_t told_time(void *user)
{
    (void)user;
    return atomic_load(&time_ms);
}

static inline idem_store *open_told(const char *url)
{
    idem_error error;
    idem_store *store = NULL;
    idem_options options = {.size = sizeof options, .clock = {.now_ms = told_time}};
    if (idem_open_with(url, &options, &store, &error))
        ck_abort_msg("%s", error.message);
    return store;
}

static inline idem_store *open_plain(const char *url)
{
    idem_error error;
    idem_store *store = NULL;
    if (idem_open(url, &store, &error))
        ck_abort_msg("%s", error.message);
    return store;
}

static inline idem_bytes number_key(char *buf, size_t size, const char *prefix, unsigned number)
{
    int len = snprintf(buf, size, "%s-%u", prefix, number);
    return (idem_bytes){buf, (size_t)len};
}

/* Begins and leaves the claim to its lease. @return the outcome's kind, or minus the error's
   code */
/* A claim is absent one millisecond after its lease has ended. */
static inline int begin(idem_store *store, idem_bytes key, uint64_t lease_ms)
{
    idem_outcome outcome;
    int rc = idem_begin(store, IDEM_REQUEST(.key = key, .lease_ms = lease_ms, .ttl_ms = 1),
                        &outcome, NULL);
    if (rc)
        return -rc;
    int kind = (int)outcome.kind;
    idem_outcome_clear(&outcome);
    return kind;
}

static inline int begin_number(idem_store *store, const char *prefix, unsigned number,
                               uint64_t ttl_ms)
{
    char buf[64];
    return begin(store, number_key(buf, sizeof buf, prefix, number), ttl_ms);
}

static inline int count_record(const idem_record *record, void *user)
{
    (void)record;
    ++*(unsigned *)user;
    return 0;
}

static inline unsigned count_records(idem_store *store, const char *prefix)
{
    unsigned count = 0;
    idem_filter filter = {.size = sizeof filter, .prefix = idem_str(prefix)};
    ck_assert_int_eq(idem_scan(store, &filter, count_record, &count, NULL), IDEM_OK);
    return count;
}

#endif
