/* SPDX-License-Identifier: MIT */
/* What the tests of a store do over and over: opening it, judging a call, and claiming a key. */
#ifndef IDEM_TESTS_STORE_TEST_H
#define IDEM_TESTS_STORE_TEST_H

#include "lateness.h"

#include <idem/backend.h>

#include <runner.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEY     "charge-42"
#define LONG_MS UINT64_C(60000)
#define PATIENT "timeout=30s" /* where no deadline is to be seen, a slow machine has time */

#define STORE_URL_SIZE 800

static idem_error err;

static inline void wait_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

#define assert_ok(call) assert_code(IDEM_OK, call)
/** Fails unless a call that was given &err returned this code, with one line if it failed. */
#define assert_code(expected, call)                                                                \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == (int)(expected) && err.code == rc_, "%s gave %d (%s), not %d", #call, \
                      rc_, err.message, (int)(expected));                                          \
        ck_assert_msg((err.message[0] != '\0') == (rc_ != IDEM_OK) && !strchr(err.message, '\n'),  \
                      "%s: message '%s'", #call, err.message);                                     \
    } while (0)

/** Fails unless the last message has these words in it. */
#define assert_says(words) \
    ck_assert_msg(strstr(err.message, words) != NULL, "'%s' lacks '%s'", err.message, words)

/** Runs a call and fails unless it ends by its deadline. How long the thread waited for a processor
 *  is the machine's affair. */
#define assert_in_time(limit_ms, call)                                                \
    do {                                                                              \
        uint64_t queued_ = lateness_queued_ms();                                      \
        uint64_t began_ = idem_monotonic_ms();                                        \
        call;                                                                         \
        uint64_t took_ = idem_monotonic_ms() - began_;                                \
        uint64_t may_ = (limit_ms) + SLACK_MS + 2 * (lateness_queued_ms() - queued_); \
        ck_assert_msg(took_ <= may_, "it took %llu ms", (unsigned long long)took_);   \
    } while (0)

/* ------------------------------------------------------------------------------------ opening */

/** Opens a URL with parameters behind it; with none it is patient. */
static inline int try_open(const char *base, const char *params, idem_store **store)
{
    char url[STORE_URL_SIZE];
    (void)snprintf(url, sizeof url, "%s%s%s", base, strchr(base, '?') ? "&" : "?",
                   *params ? params : PATIENT);
    return idem_open(url, store, &err);
}

static inline idem_store *open_url(const char *base, const char *params)
{
    idem_store *store = NULL;
    assert_ok(try_open(base, params, &store));
    return store;
}

/** Opens a store whose time is so short that a busy machine may need several tries.
 *  @param options  may be NULL */
static inline idem_store *open_hasty(const char *base, const char *params,
                                     const idem_options *options)
{
    char url[STORE_URL_SIZE];
    idem_store *store = NULL;
    (void)snprintf(url, sizeof url, "%s?%s", base, params);
    for (int i = 0; i < 20 && idem_open_with(url, options, &store, &err) != IDEM_OK; i++)
        continue;
    ck_assert_msg(store != NULL, "%s", err.message);
    return store;
}

/* ------------------------------------------------------------------------ what is not looked at */

static inline int ignore_record(const idem_record *record, void *user)
{
    (void)record;
    (void)user;
    return 0;
}

static inline void ignore_finding(void *user, const idem_finding *finding)
{
    (void)user;
    ck_assert_ptr_nonnull(finding->fix);
}

/* -------------------------------------------------------------------------------------- keys */

static inline idem_outcome begin_key(idem_store *store, const char *key)
{
    idem_outcome out;
    assert_ok(
        idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS), &out, &err));
    return out;
}

/** Begins a key and fails unless it is new. */
static inline idem_outcome claim(idem_store *store, const char *key)
{
    idem_outcome out = begin_key(store, key);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    return out;
}

static inline void assert_begin(idem_store *store, const char *key, idem_outcome_kind kind)
{
    idem_outcome out = begin_key(store, key);
    ck_assert_int_eq(out.kind, kind);
    idem_outcome_clear(&out);
}

static inline void assert_replays(idem_store *store, const char *key, const char *response)
{
    idem_outcome out = begin_key(store, key);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert_uint_eq(out.response.len, strlen(response));
    ck_assert(memcmp(out.response.data, response, strlen(response)) == 0);
    idem_outcome_clear(&out);
}

/** Claims a key and completes it. */
static inline void complete(idem_store *store, const char *key, const char *response)
{
    idem_outcome out = claim(store, key);
    assert_ok(idem_complete(store, out.claim, idem_str(response), &err));
    idem_outcome_clear(&out);
}

#endif
